"""Where an image lies in the detector's input, and from the input's pixels back to the image's."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import InputSpec


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
