"""From a grey image to the detector's input; `placement.py` has the way back.

Two ways, and the manifest says which (`extra.resize`, `letterbox` where it says nothing):

- `letterbox`: the geometry of Ultralytics' `LetterBox`. The image keeps its aspect ratio, is
  centred in the input and padded with grey 114.
- `stretch`: the image fills the input. NIH stretched its radiographs to squares, so a network that
  was trained on them has seen no other shape and no padding.

The one difference from Ultralytics is on purpose: shrinking is antialiased
(Pillow's bilinear filter widens with the scale), where OpenCV's bilinear would skip pixels, and a
2,500 px radiograph would reach the network with moire that no training image has.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_contracts import InputSpec
from cxr_detector.placement import Placement, place, stretched

Resize = Literal["letterbox", "stretch"]
PADDING_GREY = 114
# Shrinks by whole steps first while at least this factor remains: twice as fast on a full-size
# radiograph, and within two grey levels of the exact filter.
_REDUCING_GAP = 3.0


def fit(
    grey: npt.NDArray[np.uint8], spec: InputSpec, resize: Resize = "letterbox"
) -> tuple[npt.NDArray[np.uint8], Placement]:
    """A grey image [H, W] in the shape of the input [height_px, width_px], still 0..255."""
    height, width = grey.shape
    placement = (stretched if resize == "stretch" else place)(width, height, spec)
    size = (placement.scaled_width, placement.scaled_height)
    if size != (width, height):
        image = Image.fromarray(grey).resize(
            size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP
        )
        grey = np.asarray(image)
    if size == (spec.width_px, spec.height_px):
        return grey, placement
    canvas = np.full((spec.height_px, spec.width_px), PADDING_GREY, dtype=np.uint8)
    bottom, right = placement.top + size[1], placement.left + size[0]
    canvas[placement.top : bottom, placement.left : right] = grey
    return canvas, placement


def preprocess(
    grey: npt.NDArray[np.uint8], spec: InputSpec, resize: Resize = "letterbox"
) -> tuple[npt.NDArray[np.float32], Placement]:
    """The network's input for one image.

    Args:
        grey: [H, W], 0..255, white is dense (MONOCHROME2).
        spec: the model's own description of its input.
        resize: the model's own way of filling it.

    Returns:
        float32 [channels, height_px, width_px], (grey / 255 - mean) / std, the same plane in every
        channel; and the way back to the image's pixels.

    Raises:
        ValueError: `grey` is not a two-dimensional uint8 image.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8 or grey.size == 0:
        raise ValueError(f"expected a grey uint8 image [H, W], got {grey.dtype} {grey.shape}")
    canvas, placement = fit(grey, spec, resize)
    plane = canvas.astype(np.float32)
    plane *= 1.0 / (255.0 * spec.std)
    plane -= spec.mean / spec.std
    return np.repeat(plane[np.newaxis], spec.channels, axis=0), placement
