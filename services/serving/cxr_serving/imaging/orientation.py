"""How an image is turned and mirrored between its file and a person, by EXIF's eight codes."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Grey = TypeVar("_Grey", np.uint8, np.uint16)

# EXIF orientation (Exif 2.32, 4.6.4): 1 of 8, the image as it is stored.
UPRIGHT = 1
# Those that exchange rows and columns, mirror left and right, and mirror top and bottom.
SIDEWAYS = frozenset({5, 6, 7, 8})
_MIRRORED, _UPSIDE_DOWN = frozenset({2, 3, 6, 7}), frozenset({3, 4, 7, 8})
_ORIENTATION_TAG = 0x0112


def orientation_of(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where the block is broken or silent.

    A broken EXIF block does not make an image unreadable: viewers ignore it, and so does this.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(_ORIENTATION_TAG, UPRIGHT)
    except Exception:  # Pillow's TIFF reader raises freely on damaged input
        return UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def upright(grey: NDArray[_Grey], orientation: int) -> NDArray[_Grey]:
    """`grey` as a person sees it; [H, W], or [W, H] for orientations 5 to 8 (Exif 2.32, 4.6.4)."""
    if orientation in SIDEWAYS:
        grey = grey.T
    if orientation in _MIRRORED:
        grey = grey[:, ::-1]
    if orientation in _UPSIDE_DOWN:
        grey = grey[::-1, :]
    return np.ascontiguousarray(grey)


def orientation_by(*, transposed: bool, mirrored: bool, upside_down: bool) -> int:
    """The code that exchanges rows and columns, then mirrors, as `upright` does it."""
    wanted = (transposed, mirrored, upside_down)
    return next(code for code in range(1, 9) if _steps(code) == wanted)


def _steps(code: int) -> tuple[bool, bool, bool]:
    return code in SIDEWAYS, code in _MIRRORED, code in _UPSIDE_DOWN


def before_turning(
    x: float, y: float, width: float, height: float, orientation: int
) -> tuple[float, float]:
    """Where a point of the upright image lay before `upright` turned it.

    Args:
        x: in the upright image, from its left edge.
        y: from its upper edge.
        width: of the upright image, in the same unit.
        height: likewise.
        orientation: EXIF's code.
    """
    if orientation in _UPSIDE_DOWN:
        y = height - y
    if orientation in _MIRRORED:
        x = width - x
    return (y, x) if orientation in SIDEWAYS else (x, y)
