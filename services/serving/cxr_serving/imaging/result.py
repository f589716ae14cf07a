"""What decoding hands on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxr_serving.imaging.orientation import UPRIGHT

GreyImage = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded PNG or JPEG.

    Attributes:
        grey: uint8 [H, W], upright: a turn that EXIF asks for is carried out.
        format: the kind of file.
        orientation: by which EXIF code it was turned; 1 for not at all.
        in_colour: why the image cannot be a radiograph, being in colour; None if it is grey.
    """

    grey: GreyImage
    format: Literal["png", "jpeg"]
    orientation: int = UPRIGHT
    in_colour: str | None = None

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.grey.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.grey.shape[0])
