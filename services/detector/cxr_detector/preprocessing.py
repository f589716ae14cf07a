"""From a grey image to the detector's input, and from the input's pixels back to the image's.

Two ways, and the manifest says which (`extra.resize`, `letterbox` where it says nothing):

- `letterbox`: the geometry of Ultralytics' `LetterBox`. The image keeps its aspect ratio, is
  centred in the input and padded with grey 114.
- `stretch`: the image fills the input. NIH stretched its radiographs to squares, so a network that
  was trained on them has seen no other shape and no padding.

The one difference from Ultralytics is on purpose: shrinking is antialiased
(Pillow's bilinear filter widens with the scale), where OpenCV's bilinear would skip pixels, and a
2,500 px radiograph would reach the network with moire that no training image has.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_contracts import InputSpec

Resize = Literal["letterbox", "stretch"]
PADDING_GREY = 114
# Shrinks by whole steps first while at least this factor remains: twice as fast on a full-size
# radiograph, and within two grey levels of the exact filter.
_REDUCING_GAP = 3.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image lies inside the network's input; all in pixels."""

    image_width: int
    image_height: int
    scaled_width: int
    scaled_height: int
    left: int
    top: int

    def to_image(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [n, 4] (x_min, y_min, x_max, y_max) of the input in image pixels, clipped to it."""
        scale = np.array(
            [self.image_width / self.scaled_width, self.image_height / self.scaled_height] * 2,
            dtype=np.float32,
        )
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        limit = np.array([self.image_width, self.image_height] * 2, dtype=np.float32)
        moved: npt.NDArray[np.float32] = np.clip((boxes - offset) * scale, 0.0, limit)
        return moved


def place(image_width: int, image_height: int, spec: InputSpec) -> Placement:
    """Where an image of this size lies inside the input that `spec` describes."""
    ratio = min(spec.height_px / image_height, spec.width_px / image_width)
    # At least one pixel, so that a very thin image stays an image.
    scaled_width = max(round(image_width * ratio), 1)
    scaled_height = max(round(image_height * ratio), 1)
    return Placement(
        image_width=image_width,
        image_height=image_height,
        scaled_width=scaled_width,
        scaled_height=scaled_height,
        # The odd pixel of padding goes to the right and to the bottom.
        left=round((spec.width_px - scaled_width) / 2 - 0.1),
        top=round((spec.height_px - scaled_height) / 2 - 0.1),
    )


def stretched(image_width: int, image_height: int, spec: InputSpec) -> Placement:
    """An image of this size over the whole input that `spec` describes."""
    return Placement(
        image_width=image_width,
        image_height=image_height,
        scaled_width=spec.width_px,
        scaled_height=spec.height_px,
        left=0,
        top=0,
    )


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
