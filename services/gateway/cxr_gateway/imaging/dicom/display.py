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
from cxr_serving.imaging import GreyImage

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


@dataclass(frozen=True, slots=True)
class Rendered:
    """An image as it is to be displayed, and how it came about, in words.

    Attributes:
        grey: uint8 [H, W].
        stored: kind and range of the stored values.
        shown_by: what became black and white.
        notes: a sentence for each element that was passed over.
        in_colour: why it cannot be a radiograph, being in colour; None if it is grey.
    """

    grey: GreyImage
    stored: str
    shown_by: str
    notes: list[str]
    in_colour: str | None = None


def to_grey(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> Rendered:
    """uint8 [H, W] as it is to be displayed: 0 black, 255 white, MONOCHROME1 turned.

    Args:
        values: stored values, uint8, int8, uint16 or int16, [H, W].
        ds: rescale or modality LUT, VOI LUT or window (the first one), pixel padding.
        header: photometric interpretation.

    """
    found = _shown(values, ds, header)
    stored = found.stored
    lookup: GreyImage = np.rint(found.shown).astype(np.uint8)
    lookup[found.padding] = 0
    # "wrap" spares the check of every index; none is outside of the table.
    grey: GreyImage = np.take(lookup, found.native, mode="wrap")
    seen = stored[found.counts > 0]
    held = f"{stored.dtype}, {seen.min()} to {seen.max()}" if seen.size else f"{stored.dtype}"
    return Rendered(grey, held, found.shown_by, found.notes)


def to_levels(
    values: NDArray[Any], ds: Dataset, header: PixelHeader
) -> tuple[NDArray[np.uint16], float, float]:
    """Stored values before any window, and between which of them the window of `to_grey` lies.

    Args:
        values: as of `to_grey`.
        ds: likewise.
        header: likewise, and how many bits are used.

    Returns:
        uint16 [H, W], greater is brighter, 0 for padding; then the levels that are black and
        white by the straight line through the middle of the window's curve.
    """
    found = _shown(values, ds, header)
    top = (1 << header.bits_stored) - 1
    # A table may put the values into another order; a rescale can only turn it round.
    by_table = _table(ds, "ModalityLUTSequence", []) is not None
    order = np.rint(found.ramp) if by_table else found.stored.astype(np.float64)
    lowest = order[found.counts > 0].min(initial=0.0) if by_table else 0.0
    if header.is_signed and not by_table:
        lowest = -float(top // 2 + 1)
    level = np.clip(order - lowest, 0.0, 65535.0)
    falls = not by_table and found.ramp[found.stored.argmax()] < found.ramp[found.stored.argmin()]
    if falls != (header.photometric == "MONOCHROME1"):
        highest = level[found.counts > 0].max(initial=0.0) if by_table else float(top)
        level = np.clip(highest - level, 0.0, None)
    lookup = level.astype(np.uint16)
    lookup[found.padding] = 0
    black, white = _straight(level, found.shown, (found.counts > 0) & ~found.padding)
    levels: NDArray[np.uint16] = np.take(lookup, found.native, mode="wrap")
    return levels, black, white


# A window's curve is taken for straight between these greys.
_MIDDLE = (0.05 * 255.0, 0.95 * 255.0)


def _straight(level: Ramp, shown: Ramp, seen: NDArray[np.bool_]) -> tuple[float, float]:
    """Where the line through the middle of the curve from `level` to `shown` is 0 and 255."""
    order = np.argsort(level, kind="stable")
    levels, greys = level[order], shown[order]
    inside = np.flatnonzero((greys > _MIDDLE[0]) & (greys < _MIDDLE[1]))
    if inside.size >= 2 and levels[inside[-1]] > levels[inside[0]]:
        first, last = inside[0], inside[-1]
        slope = (greys[last] - greys[first]) / (levels[last] - levels[first])
        if slope > 0.0:
            black = levels[first] - greys[first] / slope
            return float(black), float(black + 255.0 / slope)
    # A step, or hardly any values: what occurs.
    own = level[seen]
    low, high = (float(own.min()), float(own.max())) if own.size else (0.0, 1.0)
    return low, max(high, low + 1.0)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What each possible stored value becomes.

    Attributes:
        stored: the possible values, in the order of their bits.
        native: the image's own, as unsigned places in `stored`.
        padding: which are padding.
        counts: how many sampled pixels have each; 0 for padding.
        ramp: after the modality LUT or rescale.
        shown: 0 black to 255 white.
        shown_by: what became black and white.
        notes: a sentence for each element that was passed over.
    """

    stored: NDArray[Any]
    native: NDArray[Any]
    padding: NDArray[np.bool_]
    counts: NDArray[np.int64]
    ramp: Ramp
    shown: Ramp
    shown_by: str
    notes: list[str]


def _shown(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> _Shown:
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
    shown, shown_by = _voi(ramp, ds, counts, notes)
    if header.photometric == "MONOCHROME1":
        shown = 255.0 - shown
    return _Shown(stored, native, padding, counts, ramp, shown, shown_by, notes)


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


@dataclass(frozen=True, slots=True)
class Lookup:
    """A table that can be written again: `entries` are uint16, the first of them of `first`."""

    first: int
    entries: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Transformations:
    """What a file says of how its values become greys, where that can be used.

    Attributes:
        modality: the modality LUT.
        rescale: slope and intercept, where there is no such table.
        voi: the VOI LUT, its entries from black to white over all 16 bits.
        windows: centres and widths, where there is no such table.
        function: of the windows.
    """

    modality: Lookup | None
    rescale: tuple[float, float] | None
    voi: Lookup | None
    windows: list[tuple[float, float]]
    function: str


def transformations(ds: Dataset) -> Transformations:
    """As the image is displayed, without what depends on its pixels."""
    notes: list[str] = []
    modality, voi = (_lookup(ds, keyword) for keyword in ("ModalityLUTSequence", "VOILUTSequence"))
    slope, intercept = (_number(ds, f"Rescale{end}", notes) for end in ("Slope", "Intercept"))
    if voi is not None:
        voi = Lookup(voi.first, np.rint(voi.entries * (65535.0 / voi.entries.max())).astype("<u2"))
    centres, widths = (reals(ds, f"Window{end}") or [] for end in ("Center", "Width"))
    fit = len(centres) == len(widths) and min(widths, default=0.0) >= 1.0
    function = (code_string(ds, "VOILUTFunction") or "").upper()
    return Transformations(
        modality,
        (slope, intercept or 0.0) if slope and modality is None else None,
        voi,
        list(zip(centres, widths, strict=True)) if fit and voi is None else [],
        function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR",
    )


def _lookup(ds: Dataset, keyword: str) -> Lookup | None:
    table = _table(ds, keyword, [])
    if table is None or not 0 <= table.first < _MOST_ENTRIES or not table.entries.max():
        return None
    return Lookup(table.first, table.entries.astype("<u2"))


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


def _voi(ramp: Ramp, ds: Dataset, counts: NDArray[np.int64], notes: list[str]) -> tuple[Ramp, str]:
    """The VOI LUT, else the first window, else percentiles; onto 0..255, and what it was."""
    table = _table(ds, "VOILUTSequence", notes)
    own, own_ends = _percentile_window(ramp, counts)
    for keyword, shown, told in (
        ("VOILUTSequence", *_of_table(ramp, table)),
        ("WindowWidth", *_window(ramp, ds)),
    ):
        if shown is None:
            continue
        if _is_flat(shown, counts):
            notes.append(f"{tag_name(keyword)} shows all in one grey and was passed over.")
        elif (levels := _levels(shown, counts)) < min(_MIN_LEVELS, _levels(own, counts) / 2):
            notes.append(f"{tag_name(keyword)} leaves {levels} levels of grey; passed over.")
        else:
            return shown, told
    return own, f"percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g} of the values, {own_ends}"


def _of_table(ramp: Ramp, table: _Table | None) -> tuple[Ramp | None, str]:
    if table is None:
        return None, ""
    shown = table.of(ramp)
    # Some devices declare 16 bits and fill 12 of them: then white is the top of those 12.
    used = int(shown.max()).bit_length()
    top = (1 << (table.bits if used >= table.bits - 1 else used)) - 1
    told = f"{tag_name('VOILUTSequence')}, {table.entries.size} entries from {table.first}"
    return np.clip(shown / max(top, 1), 0.0, 1.0) * 255.0, told


def _levels(shown: Ramp, counts: NDArray[np.int64]) -> int:
    """How many 8-bit greys there are for the pixels between `PERCENTILES`."""
    greys = np.bincount(np.rint(shown).astype(np.intp), weights=counts, minlength=256)
    cumulated = np.cumsum(greys)
    low, high = np.asarray(PERCENTILES) / 100.0 * cumulated[-1]
    within = (cumulated >= low) & (cumulated - greys <= high) & (greys > 0)
    return int(within.sum())


def _window(ramp: Ramp, ds: Dataset) -> tuple[Ramp | None, str]:
    centre, width = real(ds, "WindowCenter"), real(ds, "WindowWidth")
    function = (code_string(ds, "VOILUTFunction") or "LINEAR").upper()
    if centre is None or width is None or width <= 0.0:
        return None, ""
    window = {"SIGMOID": sigmoid, "LINEAR_EXACT": linear_exact}.get(function, linear)
    told = f"{tag_name('WindowCenter')} {centre:g}, {tag_name('WindowWidth')} {width:g}, {function}"
    return window(ramp, centre, width), told


def _is_flat(shown: Ramp, counts: NDArray[np.int64]) -> bool:
    greys = np.bincount(np.rint(shown).astype(np.intp), weights=counts, minlength=256)
    return bool(greys.max() > _FLAT_SHARE * greys.sum())


def _percentile_window(ramp: Ramp, counts: NDArray[np.int64]) -> tuple[Ramp, str]:
    """LINEAR_EXACT between `PERCENTILES` of the image's values, and where these are."""
    order = np.argsort(ramp, kind="stable")
    cumulated = np.cumsum(counts[order])
    ends = np.searchsorted(cumulated, np.asarray(PERCENTILES) / 100.0 * cumulated[-1])
    low, high = ramp[order[np.minimum(ends, ramp.size - 1)]]
    if high <= low:  # nearly all pixels have one value: show all that there is
        seen = ramp[counts > 0]
        low, high = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    window = linear_exact(ramp, (low + high) / 2.0, max(high - low, 1e-9))
    return window, f"{low:g} to {high:g}"


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
