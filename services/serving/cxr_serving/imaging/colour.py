"""Grey out of colour files, where the colours are only how the grey was stored."""

import numpy as np

from cxr_serving.imaging.result import GreyImage

# A radiograph photographed or saved by JPEG carries a tint and noise of a few levels; an image in
# colour carries tens. A small coloured mark (a side letter, an arrow) does not make it one.
MAX_MEAN_SPREAD = 10.0
COLOURED_SPREAD = 40
MAX_COLOURED_SHARE = 0.01

# uint8 [H, W], and why it cannot be a radiograph, being in colour; None if it is grey.
Grey = tuple[GreyImage, str | None]


def grey_of_rgb(red: GreyImage, green: GreyImage, blue: GreyImage, kind: str) -> Grey:
    """The luma (BT.601) of three bands, each uint8 [H, W], and whether they are in colour."""
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red), None
    low = np.minimum(red, green)
    np.minimum(low, blue, out=low)
    spread = np.maximum(red, green)
    np.maximum(spread, blue, out=spread)
    np.subtract(spread, low, out=spread)
    refused = colour_refusal(np.bincount(spread.ravel(), minlength=256), kind)
    return luma(red, green, blue), refused


def luma(red: GreyImage, green: GreyImage, blue: GreyImage) -> GreyImage:
    """BT.601 luma, rounded, as JPEG stores it; uint8 [H, W]."""
    total = red.astype(np.uint32) * np.uint32(19595)
    total += green.astype(np.uint32) * np.uint32(38470)
    total += blue.astype(np.uint32) * np.uint32(7471)
    total += np.uint32(0x8000)
    total >>= np.uint32(16)
    return total.astype(np.uint8)


def colour_refusal(
    spread_counts: np.ndarray[tuple[int], np.dtype[np.int64]], kind: str
) -> str | None:
    """Why an image with this histogram of max - min over the channels is in colour, if it is.

    It is where the channels differ by more than `MAX_MEAN_SPREAD` levels on average, or by more
    than `COLOURED_SPREAD` levels in over `MAX_COLOURED_SHARE` of the pixels.
    """
    n = int(spread_counts.sum())
    mean = float(spread_counts @ np.arange(spread_counts.size)) / n
    share = float(spread_counts[COLOURED_SPREAD + 1 :].sum()) / n
    if mean <= MAX_MEAN_SPREAD and share <= MAX_COLOURED_SHARE:
        return None
    return (
        f"The {kind} is a colour image (its channels differ by {mean:.0f} of 255 levels on "
        f"average, and strongly in {100 * share:.0f}% of the pixels); a radiograph is grey."
    )
