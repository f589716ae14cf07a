"""EXIF orientation: how a camera was held, and the picture turned upright."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112


def orientation_of(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where the block is broken or silent.

    A broken EXIF block does not make a picture unreadable: viewers ignore it, and so does this.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(_ORIENTATION_TAG, UPRIGHT)
    except Exception:  # Pillow's TIFF reader raises freely on damaged input
        return UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def upright(grey: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`grey` as a person sees it; [H, W], or [W, H] for orientations 5 to 8 (Exif 2.32, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1, :]
    return np.ascontiguousarray(grey)
