"""16 bits to 8, where a file does not say which of them it uses."""

import numpy as np
from numpy.typing import NDArray

# Detectors digitise to 10, 12 or 14 bits and exporters put the values unscaled into 16-bit files.
# A PNG has no window that says so, therefore: the range is the smallest of these depths which
# holds all but the brightest thousandth (burnt-in letters are often at full white). No further
# stretching: a radiograph that is dark within its range stays dark.
DEPTHS = (8, 10, 12, 14, 16)
_BRIGHTEST_SHARE = 0.001


def bit_depth(values: NDArray[np.uint16]) -> int:
    """How many bits of `values`, uint16 [H, W], carry the image; one of `DEPTHS`."""
    counts = np.bincount(values.ravel(), minlength=1 << 16)
    above = values.size - np.cumsum(counts)
    for depth in DEPTHS:
        if above[(1 << depth) - 1] <= _BRIGHTEST_SHARE * values.size:
            return depth
    return DEPTHS[-1]


def grey_of_16_bit(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """uint16 [H, W] to uint8 [H, W]: linear, 0 to 0 and the top of the depth to 255, rounded."""
    top = (1 << bit_depth(values)) - 1
    ramp = np.minimum(np.arange(1 << 16, dtype=np.uint32), top)
    lookup = ((ramp * 255 + top // 2) // top).astype(np.uint8)
    return lookup[values]
