"""The one small picture that the gate looks at, in training and in service alike."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def canonical(grey: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """Stretch a grey picture to a small square, antialiased.

    Args:
        grey: uint8 [H, W] of any size, white is bright.
        side_px: side of the square.

    Returns:
        float32 [1, side_px, side_px] in 0..1.

    Raises:
        ValueError: not two-dimensional, empty, or not uint8.
    """
    if grey.ndim != 2 or grey.size == 0 or grey.dtype != np.uint8:
        raise ValueError(f"expected uint8 [H, W], got {grey.dtype} {list(grey.shape)}")
    # reducing_gap: whole-pixel averaging first, which halves the time on large radiographs.
    small = Image.fromarray(np.ascontiguousarray(grey)).resize(
        (side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return (np.asarray(small, dtype=np.float32) / np.float32(255.0))[None]
