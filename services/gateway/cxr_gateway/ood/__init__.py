"""Out-of-distribution detection: is this image a frontal chest radiograph at all?

It looks at the image itself, as a gate before the inference services: nothing is diagnosed on an
out-of-distribution image.
"""

from cxr_gateway.ood.canonical import canonical
from cxr_gateway.ood.detector import OodDetector, OodScore, load_ood_detector
from cxr_gateway.ood.network import OodNetwork, load_model
from cxr_gateway.ood.rules import OodRules

__all__ = [
    "OodDetector",
    "OodNetwork",
    "OodRules",
    "OodScore",
    "canonical",
    "load_model",
    "load_ood_detector",
]
