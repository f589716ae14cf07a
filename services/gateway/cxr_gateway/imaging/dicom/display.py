"""Stored values to the 8-bit grey that a person would be shown (PS3.3, C.11; PS3.4, N.2).

Every step, modality LUT or rescale, VOI LUT or window, inversion, is a function of one stored
value. So it is computed once for each possible value, at most 65,536, and the picture is looked up.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi

from cxr_gateway.imaging.dicom.header import PixelHeader
from cxr_gateway.imaging.dicom.tags import integer, real, text
from cxr_gateway.imaging.result import GreyImage

Ramp = NDArray[np.float64]

# Without a window: black and white are the half-percent ends of the values, padding left out.
# It cuts burnt-in letters and direct exposure, and keeps the lung and the mediastinum apart.
PERCENTILES = (0.5, 99.5)
# A window that shows nearly all pixels in one grey is a mistake in the file; it is ignored.
_FLAT_SHARE = 0.99
_SAMPLED_PIXELS = 400_000


def to_grey(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> GreyImage:
    """uint8 [H, W] as it is to be displayed: 0 black, 255 white, MONOCHROME1 turned.

    Args:
        values: stored values, uint8, int8, uint16 or int16, [H, W].
        ds: rescale or modality LUT, VOI LUT or window (the first one), pixel padding.
        header: photometric interpretation.
    """
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    stored = np.arange(1 << 8 * values.dtype.itemsize, dtype=unsigned).view(
        values.dtype.newbyteorder("=")
    )
    native = np.ascontiguousarray(values, dtype=stored.dtype).view(unsigned)
    padding = _padding(ds, stored)
    step = max(1, math.isqrt(native.size // _SAMPLED_PIXELS))
    counts = np.bincount(native[::step, ::step].ravel(), minlength=stored.size)
    counts[padding] = 0
    ramp = np.asarray(apply_modality_lut(stored, ds), dtype=np.float64)
    shown = _voi(ramp, ds, counts)
    if header.photometric == "MONOCHROME1":
        shown = 255.0 - shown
    lookup: GreyImage = np.rint(shown).astype(np.uint8)
    lookup[padding] = 0
    # "wrap" spares the check of every index; none is outside of the table.
    return np.take(lookup, native, mode="wrap")


def linear(ramp: Ramp, centre: float, width: float) -> Ramp:
    """The LINEAR window function (C.11.2.1.2.1) onto 0..255; `width` is at least 1."""
    if width <= 1.0:
        return np.where(ramp <= centre - 0.5, 0.0, 255.0)
    return np.clip((ramp - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0) * 255.0


def linear_exact(ramp: Ramp, centre: float, width: float) -> Ramp:
    """The LINEAR_EXACT window function (C.11.2.1.3.2) onto 0..255; `width` is over 0."""
    return np.clip((ramp - centre) / width + 0.5, 0.0, 1.0) * 255.0


def sigmoid(ramp: Ramp, centre: float, width: float) -> Ramp:
    """The SIGMOID window function (C.11.2.1.3.1) onto 0..255; `width` is over 0."""
    return 255.0 / (1.0 + np.exp(np.clip(-4.0 * (ramp - centre) / width, -700.0, 700.0)))


def _voi(ramp: Ramp, ds: Dataset, counts: NDArray[np.int64]) -> Ramp:
    """The VOI LUT, else the first window, else percentiles; onto 0..255."""
    for shown in (_voi_lut(ramp, ds), _window(ramp, ds)):
        if shown is not None and not _is_flat(shown, counts):
            return shown
    return _percentile_window(ramp, counts)


def _voi_lut(ramp: Ramp, ds: Dataset) -> Ramp | None:
    if not ds.get("VOILUTSequence"):
        return None
    shown = np.asarray(apply_voi(np.rint(ramp).astype(np.int32), ds), dtype=np.float64)
    bits = int(ds.VOILUTSequence[0].LUTDescriptor[2])
    # Some devices declare 16 bits and fill 12 of them: then white is the top of those 12.
    used = int(shown.max()).bit_length()
    top = (1 << (bits if used >= bits - 1 else used)) - 1
    return np.clip(shown / max(top, 1), 0.0, 1.0) * 255.0


def _window(ramp: Ramp, ds: Dataset) -> Ramp | None:
    centre, width = real(ds, "WindowCenter"), real(ds, "WindowWidth")
    function = (text(ds, "VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None or width <= 0.0:
        return None
    if function == "SIGMOID":
        return sigmoid(ramp, centre, width)
    if function == "LINEAR_EXACT":
        return linear_exact(ramp, centre, width)
    return linear(ramp, centre, width)


def _is_flat(shown: Ramp, counts: NDArray[np.int64]) -> bool:
    greys = np.bincount(np.rint(shown).astype(np.intp), weights=counts, minlength=256)
    return bool(greys.max() > _FLAT_SHARE * greys.sum())


def _percentile_window(ramp: Ramp, counts: NDArray[np.int64]) -> Ramp:
    """LINEAR_EXACT between `PERCENTILES` of the picture's values."""
    order = np.argsort(ramp, kind="stable")
    cumulated = np.cumsum(counts[order])
    ends = np.searchsorted(cumulated, np.asarray(PERCENTILES) / 100.0 * cumulated[-1])
    low, high = ramp[order[np.minimum(ends, ramp.size - 1)]]
    if high <= low:  # nearly all pixels have one value: show all that there is
        seen = ramp[counts > 0]
        low, high = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    return linear_exact(ramp, (low + high) / 2.0, max(high - low, 1e-9))


def _padding(ds: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Which stored values are padding and no picture (PixelPaddingValue and its range limit)."""
    if "PixelPaddingValue" not in ds:
        return np.zeros(stored.size, dtype=bool)
    size = stored.size
    ends = [
        _wrapped(integer(ds, keyword), size, stored.dtype.kind == "i")
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        if keyword in ds and ds.get(keyword) is not None
    ]
    if not ends:
        return np.zeros(size, dtype=bool)
    return (stored >= min(ends)) & (stored <= max(ends))


def _wrapped(value: int, size: int, is_signed: bool) -> int:
    """`value` as the samples' own type reads its bits: writers mix up US and SS."""
    value %= size
    return value - size if is_signed and value >= size // 2 else value
