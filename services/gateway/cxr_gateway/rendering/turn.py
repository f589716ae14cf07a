"""A radiograph turned and mirrored as a person looks at it, with what is drawn on it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_gateway.core.schemas import Box

_Value = TypeVar("_Value", bound=np.generic)
# By quarters of a turn, clockwise.
_ROTATIONS = (
    None,
    Image.Transpose.ROTATE_270,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_90,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Mirrored first, then turned clockwise by `quarters`, 0 to 3."""

    quarters: int
    mirrored: bool

    @property
    def told(self) -> str | None:
        """In words, for whoever sees the image alone; None where nothing is turned."""
        parts = ["mirrored"] if self.mirrored else []
        parts += [f"turned by {90 * self.quarters}° clockwise"] if self.quarters else []
        return f"This image is {' and '.join(parts)}." if parts else None

    def array(self, pixels: NDArray[_Value]) -> NDArray[_Value]:
        """[H, W], likewise turned; C-contiguous."""
        mirrored = np.fliplr(pixels) if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(mirrored, -self.quarters))

    def image(self, image: Image.Image) -> Image.Image:
        """Likewise turned."""
        if self.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        rotation = _ROTATIONS[self.quarters]
        return image if rotation is None else image.transpose(rotation)

    def box(self, box: Box, size: tuple[int, int]) -> Box:
        """`box` of an image of `size`, width and height, where it lies in the turned one."""
        width, height = size
        left, top, right, bottom = box.x_min, box.y_min, box.x_max, box.y_max
        if self.mirrored:
            left, right = width - right, width - left
        for _ in range(self.quarters):
            left, top, right, bottom = height - bottom, left, height - top, right
            width, height = height, width
        turned = {"x_min": left, "y_min": top, "x_max": right, "y_max": bottom}
        return box.model_copy(update=turned)
