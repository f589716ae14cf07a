"""The gate: is this picture a frontal chest radiograph at all?

It judges the picture itself, before either reader is asked; nothing is diagnosed on a stranger.
"""

from cxr_gateway.ood.canonical import canonical
from cxr_gateway.ood.detector import Gate, OodScore, load_ood_detector
from cxr_gateway.ood.loading import GateModel, OodModelError, load_model
from cxr_gateway.ood.rules import OodRules

__all__ = [
    "Gate",
    "GateModel",
    "OodModelError",
    "OodRules",
    "OodScore",
    "canonical",
    "load_model",
    "load_ood_detector",
]
