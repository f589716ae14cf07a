"""From a grey image to the network's input; the one home of it, in serving and in training.

Imports numpy and Pillow only.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_contracts import InputSpec

GreyImage = npt.NDArray[np.uint8]
NetworkInput = npt.NDArray[np.float32]


def preprocess(grey: GreyImage, spec: InputSpec) -> NetworkInput:
    """The network's input, float32 [1, height, width], of a grey image, uint8 [H, W].

    Raises:
        ValueError: another type or number of dimensions, or no pixels.
    """
    return normalise(to_input_size(to_canonical(grey, spec.canonical_px), spec), spec)


def to_canonical(grey: GreyImage, canonical_px: int | None) -> GreyImage:
    """The image stretched to a square of `canonical_px` a side, uint8; as it is where that is None.

    NIH stretched its radiographs to a square, so the network has seen no other shape. Pillow
    widens the filter when it shrinks, hence no aliasing: a large image and a small one of the
    same radiograph arrive alike. A smaller image is interpolated; its sharpness stays lower,
    which training makes the network indifferent to.
    """
    if grey.dtype != np.uint8 or grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"expected a grey uint8 [H, W] image, got {grey.dtype} {grey.shape}")
    if canonical_px is None:
        return grey
    return _resized(grey, canonical_px, canonical_px)


def to_input_size(canonical: GreyImage, spec: InputSpec) -> GreyImage:
    """The canonical image at the size of the network's input, uint8."""
    return _resized(canonical, spec.width_px, spec.height_px)


def normalise(grey: GreyImage, spec: InputSpec) -> NetworkInput:
    """Grey values scaled to 0..1, less `mean`, divided by `std`: float32 [1, H, W]."""
    scaled = grey.astype(np.float32) / np.float32(255.0)
    return ((scaled - np.float32(spec.mean)) / np.float32(spec.std))[None]


def _resized(grey: GreyImage, width: int, height: int) -> GreyImage:
    if grey.shape == (height, width):
        return grey
    resized = Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)
