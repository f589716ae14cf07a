"""The gate: is this picture a frontal chest radiograph at all?

It judges the picture itself, before either reader is asked; nothing is diagnosed on a stranger.
"""

from cxr_gateway.gate.canonical import canonical
from cxr_gateway.gate.gate import Gate, GateScore, load_gate
from cxr_gateway.gate.loading import GateModel, GateModelError, load_model
from cxr_gateway.gate.rules import GateRules

__all__ = [
    "Gate",
    "GateModel",
    "GateModelError",
    "GateRules",
    "GateScore",
    "canonical",
    "load_gate",
    "load_model",
]
