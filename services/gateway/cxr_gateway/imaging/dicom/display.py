"""Stored values to the 8-bit grey that a person would be shown (PS3.3, C.11; PS3.4, N.2).

Every step, modality LUT or rescale, VOI LUT or window, inversion, is a function of one stored
value. So it is computed once for each possible value, at most 65,536, and the image is looked up.
An optional element that is empty is absent; one that cannot be true is passed over, with a note.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from cxr_gateway.imaging.dicom.header import PixelHeader
from cxr_gateway.imaging.dicom.tags import (
    code_string,
    integer,
    is_present,
    items,
    real,
    reals,
    tag_name,
)
from cxr_gateway.imaging.result import GreyImage

Ramp = NDArray[np.float64]

# Without a window: black and white are the half-percent ends of the values, padding left out.
# It cuts burnt-in letters and direct exposure, and keeps the lung and the mediastinum apart.
PERCENTILES = (0.5, 99.5)
# A window that shows nearly all pixels in one grey is a mistake in the file; it is ignored.
_FLAT_SHARE = 0.99
# So is one between whose greys for `PERCENTILES` of the pixels there are fewer levels than this,
# where the stored values have more: nobody could read that, and no network was trained on it.
_MIN_LEVELS = 32
_SAMPLED_PIXELS = 400_000
_MOST_ENTRIES = 1 << 16


def to_grey(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> tuple[GreyImage, list[str]]:
    """uint8 [H, W] as it is to be displayed: 0 black, 255 white, MONOCHROME1 turned.

    Args:
        values: stored values, uint8, int8, uint16 or int16, [H, W].
        ds: rescale or modality LUT, VOI LUT or window (the first one), pixel padding.
        header: photometric interpretation.

    Returns:
        The image, and a note for each element that was passed over.
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
    notes: list[str] = []
    ramp = _modality(stored.astype(np.float64), ds, notes)
    shown = _voi(ramp, ds, counts, notes)
    if header.photometric == "MONOCHROME1":
        shown = 255.0 - shown
    lookup: GreyImage = np.rint(shown).astype(np.uint8)
    lookup[padding] = 0
    # "wrap" spares the check of every index; none is outside of the table.
    return np.take(lookup, native, mode="wrap"), notes


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


@dataclass(frozen=True, slots=True)
class _Table:
    """A lookup table (PS3.3, C.11.1.1): what `first` and the values behind it become."""

    first: int
    entries: Ramp
    bits: int

    def of(self, ramp: Ramp) -> Ramp:
        """The entry of each value; those outside get the first or the last one."""
        first = self.first
        if first > ramp.max():
            first -= _MOST_ENTRIES  # a negative number that was read as an unsigned one
        places = np.clip(np.rint(ramp) - first, 0, self.entries.size - 1)
        found: Ramp = self.entries[places.astype(np.intp)]
        return found


def _table(ds: Dataset, keyword: str, notes: list[str]) -> _Table | None:
    """The first table of a LUT sequence; None if it is missing or empty, or noted as no table."""
    found = items(ds, keyword)
    if not found or not is_present(found[0], "LUTData"):
        return None
    descriptor = reals(found[0], "LUTDescriptor")
    if descriptor is not None and len(descriptor) == 3:
        count, first, bits = (int(number) for number in descriptor)
        count = count % _MOST_ENTRIES or _MOST_ENTRIES
        entries = _entries(found[0].LUTData, count, is_little=ds.original_encoding[1] is not False)
        if entries is not None and 1 <= bits <= 16:
            return _Table(first, entries, bits)
    notes.append(f"{tag_name(keyword)} holds no table and was passed over.")
    return None


def _entries(data: Any, count: int, *, is_little: bool) -> Ramp | None:
    """`count` entries out of LUTData: words, or bytes where there is one byte an entry."""
    if isinstance(data, bytes):
        if len(data) in (count, count + 1) and count > 1:
            return np.frombuffer(data, np.uint8, count).astype(np.float64)
        words = np.frombuffer(data, "<u2" if is_little else ">u2", len(data) // 2)
    else:
        words = np.atleast_1d(np.asarray(data, dtype=np.int64)).astype(np.uint16)
        if words.size == (count + 1) // 2 and count > 1:  # two entries of 8 bits in each word
            words = words.astype("<u2").view(np.uint8)
    return words[:count].astype(np.float64) if words.size >= count else None


def _modality(stored: Ramp, ds: Dataset, notes: list[str]) -> Ramp:
    """Modality LUT, else rescale, else the stored values (PS3.3, C.11.1)."""
    table = _table(ds, "ModalityLUTSequence", notes)
    if table is not None:
        return table.of(stored)
    slope, intercept = (_number(ds, f"Rescale{end}", notes) for end in ("Slope", "Intercept"))
    if slope == 0.0:
        notes.append(f"{tag_name('RescaleSlope')} is 0 and was passed over.")
        slope = None
    return stored if slope is None else stored * slope + (intercept or 0.0)


def _number(ds: Dataset, keyword: str, notes: list[str]) -> float | None:
    numbers = reals(ds, keyword)
    if numbers is not None and len(numbers) == 1:
        return numbers[0]
    if is_present(ds, keyword):
        notes.append(f"{tag_name(keyword)} is no single number and was passed over.")
    return None


def _voi(ramp: Ramp, ds: Dataset, counts: NDArray[np.int64], notes: list[str]) -> Ramp:
    """The VOI LUT, else the first window, else percentiles; onto 0..255."""
    table = _table(ds, "VOILUTSequence", notes)
    own = _percentile_window(ramp, counts)
    for keyword, shown in (
        ("VOILUTSequence", None if table is None else _of_table(ramp, table)),
        ("WindowWidth", _window(ramp, ds)),
    ):
        if shown is None:
            continue
        if _is_flat(shown, counts):
            notes.append(f"{tag_name(keyword)} shows all in one grey and was passed over.")
        elif (levels := _levels(shown, counts)) < min(_MIN_LEVELS, _levels(own, counts) / 2):
            notes.append(f"{tag_name(keyword)} leaves {levels} levels of grey; passed over.")
        else:
            return shown
    return own


def _of_table(ramp: Ramp, table: _Table) -> Ramp:
    shown = table.of(ramp)
    # Some devices declare 16 bits and fill 12 of them: then white is the top of those 12.
    used = int(shown.max()).bit_length()
    top = (1 << (table.bits if used >= table.bits - 1 else used)) - 1
    return np.clip(shown / max(top, 1), 0.0, 1.0) * 255.0


def _levels(shown: Ramp, counts: NDArray[np.int64]) -> int:
    """How many 8-bit greys there are for the pixels between `PERCENTILES`."""
    greys = np.bincount(np.rint(shown).astype(np.intp), weights=counts, minlength=256)
    cumulated = np.cumsum(greys)
    low, high = np.asarray(PERCENTILES) / 100.0 * cumulated[-1]
    within = (cumulated >= low) & (cumulated - greys <= high) & (greys > 0)
    return int(within.sum())


def _window(ramp: Ramp, ds: Dataset) -> Ramp | None:
    centre, width = real(ds, "WindowCenter"), real(ds, "WindowWidth")
    function = (code_string(ds, "VOILUTFunction") or "LINEAR").upper()
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
    """LINEAR_EXACT between `PERCENTILES` of the image's values."""
    order = np.argsort(ramp, kind="stable")
    cumulated = np.cumsum(counts[order])
    ends = np.searchsorted(cumulated, np.asarray(PERCENTILES) / 100.0 * cumulated[-1])
    low, high = ramp[order[np.minimum(ends, ramp.size - 1)]]
    if high <= low:  # nearly all pixels have one value: show all that there is
        seen = ramp[counts > 0]
        low, high = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    return linear_exact(ramp, (low + high) / 2.0, max(high - low, 1e-9))


def _padding(ds: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Which stored values are padding and no image (PixelPaddingValue and its range limit)."""
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
