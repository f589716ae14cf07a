"""What is measured on a picture as it is read, in about a millisecond whatever its size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A grid of at most so many pixels a side for brightness, and a cut-out of as many for sharpness.
_SIDE_PX = 512
_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Of a grey picture.

    Attributes:
        mean_grey: 0 black to 255 white.
        contrast: the grey values' standard deviation, 0 to 127.5.
        sharpness: the mean step from one pixel to the next beside and below it, in the middle of
            the picture, in standard deviations of the grey values there; 0 for a blank one.
    """

    mean_grey: float
    contrast: float
    sharpness: float


def measure(grey: NDArray[np.uint8]) -> ImageStatistics:
    """Measure uint8 [H, W]."""
    height, width = grey.shape
    down, across = -(-height // _SIDE_PX), -(-width // _SIDE_PX)
    grid = grey[::down, ::across].astype(np.float32)
    return ImageStatistics(
        mean_grey=round(float(grid.mean()), _DECIMALS),
        contrast=round(float(grid.std()), _DECIMALS),
        sharpness=round(_sharpness(grey), _DECIMALS),
    )


def _sharpness(grey: NDArray[np.uint8]) -> float:
    height, width = grey.shape
    top, left = max(0, height - _SIDE_PX) // 2, max(0, width - _SIDE_PX) // 2
    middle = grey[top : top + _SIDE_PX, left : left + _SIDE_PX].astype(np.float32)
    spread = float(middle.std())
    if not spread or min(middle.shape) < 2:
        return 0.0
    beside = float(np.abs(np.diff(middle, axis=1)).mean())
    below = float(np.abs(np.diff(middle, axis=0)).mean())
    return (beside + below) / 2 / spread
