"""Technical quality of a decoded image, in some milliseconds whatever its size.

Everything here is measured on the pixels, on samples of rows and columns and on a copy of 48 px.
docs/results/quality/ says how often ordinary radiographs are warned of, and what it is worth.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_gateway.core.schemas import ImageQuality
from cxr_serving.imaging import GreyImage

Floats = NDArray[np.float32]

_LINES = 96
_SAMPLED_SIDE_PX = 512
# The power of rounding to whole greys is 1/12 of a level squared at every frequency. A frequency
# carries detail where there is clearly more than that.
_ROUNDING_POWER = 0.6
_BANDS = 48
# How far a peak of the knots' rhythm stands out of its surroundings; ordinary images stay below 4.
_KNOT_PEAK = 4.2
_BLOCK_PX = 8
_LARGEST_STEP = 8.0

# A frontal chest radiograph in tenths of a standard deviation from its mean: 1,000 of the training
# patients' images (NIH ChestX-ray14) averaged in 12 x 12 fields. `cxr quality template` averages
# another thousand: no field moves by more than a tenth.
_CHEST = np.array(
    [
        (-24, -22, -20, -16, -6, 3, 3, -6, -16, -20, -21, -23),
        (-12, -7, -6, -7, -5, 1, 2, -5, -7, -6, -7, -12),
        (-1, 3, 0, -6, -8, 0, 1, -8, -7, -1, 2, -2),
        (3, 5, 0, -10, -11, 0, 3, -10, -11, -2, 4, 2),
        (2, 5, -2, -12, -11, 2, 5, -9, -12, -3, 4, 1),
        (-1, 3, -2, -10, -7, 6, 8, -3, -10, -3, 3, -2),
        (-4, 2, -2, -7, -3, 9, 12, 3, -5, -2, 2, -5),
        (-7, 1, 0, -2, 2, 12, 14, 8, 1, -1, 1, -7),
        (-9, 0, 4, 6, 9, 15, 16, 12, 6, 2, -1, -10),
        (-12, 0, 8, 12, 14, 17, 18, 15, 11, 6, -1, -13),
        (-14, 1, 11, 16, 18, 19, 19, 17, 14, 9, -1, -15),
        (-14, 2, 12, 17, 19, 20, 19, 18, 16, 11, 0, -16),
    ],
    dtype=np.float32,
)
FIELDS, SMALL_PX = 12, 48
_TILTS = range(-40, 41, 5)
_CLEARLY_TURNED, _CLEARLY_INVERTED = 0.1, 0.3

# Beyond these an image is warned of: outside of what all but a few in a thousand of the training
# patients' images have. 64 px thumbnails are warned of; copies of 128 px, as data sets have them,
# are not.
_MIN_EFFECTIVE_PX = 120
_MIN_GREY_LEVELS = 64
_MAX_BLACK_SHARE, _MAX_WHITE_SHARE = 0.45, 0.03
_MEAN_GREYS = (60.0, 215.0)
_MAX_TILT_DEGREES = 20
_MAX_PART_OF_CHEST = 0.38
_MAX_BLOCKING = 1.8
# Beyond these nobody could read it.
_READABLE_PX = 60
_READABLE_LEVELS = 16
_READABLE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Numbers:
    """Those of `ImageQuality`, in its units."""

    effective_px: int
    grey_levels: int
    black_share: float
    white_share: float
    mean_grey: float
    rotation_degrees: int
    inverted: bool
    part_of_chest: float
    blocking: float


def _is_cut_off(found: Numbers | ImageQuality) -> bool:
    return found.black_share > _MAX_BLACK_SHARE or found.white_share > _MAX_WHITE_SHARE


def _is_turned(found: Numbers | ImageQuality) -> bool:
    return found.rotation_degrees > max(_TILTS) or abs(found.rotation_degrees) > _MAX_TILT_DEGREES


# Each kind of warning, and of which image it is true.
KINDS: Mapping[str, Callable[["Numbers | ImageQuality"], bool]] = {
    "detail": lambda found: found.effective_px < _MIN_EFFECTIVE_PX,
    "greys": lambda found: found.grey_levels < _MIN_GREY_LEVELS,
    "clipped": _is_cut_off,
    "exposure": lambda found: not _MEAN_GREYS[0] <= found.mean_grey <= _MEAN_GREYS[1],
    "inverted": lambda found: found.inverted,
    "rotation": _is_turned,
    "field of view": lambda found: found.part_of_chest > _MAX_PART_OF_CHEST,
    "blocking": lambda found: found.blocking > _MAX_BLOCKING,
}


# And what is said of it.
_SENTENCES: Mapping[str, Callable[[Numbers], str]] = {
    "detail": lambda found: (
        f"Only about {found.effective_px} pixels a side carry detail: small findings cannot be "
        "seen. Was a thumbnail sent?"
    ),
    "greys": lambda found: (
        f"Only {found.grey_levels} levels of grey are used: faint findings are lost."
    ),
    "clipped": lambda found: (
        f"{found.black_share:.0%} of the image is black and {found.white_share:.0%} is white: "
        "detail may be cut off there."
    ),
    "exposure": lambda found: (
        f"The image is unusually {'dark' if found.mean_grey < _MEAN_GREYS[0] else 'bright'}: "
        "exposure or window may be wrong."
    ),
    "inverted": lambda _: "Black and white seem to be exchanged.",
    "rotation": lambda found: (
        f"The image seems to be turned by {found.rotation_degrees} degrees."
        if found.rotation_degrees > max(_TILTS)
        else f"The patient seems to lean by about {abs(found.rotation_degrees)} degrees."
    ),
    "field of view": lambda _: (
        "Only a part of the chest seems to be shown: the field of view is cut."
    ),
    "blocking": lambda _: "The blocks of a strong JPEG compression show: fine detail is lost.",
}


def warnings_of(found: Numbers) -> list[str]:
    """A sentence for each kind of thing that is out of the ordinary."""
    return [_SENTENCES[kind](found) for kind, is_so in KINDS.items() if is_so(found)]


def unreadable(found: Numbers) -> str | None:
    """Why nobody could read the image; None if it can be read."""
    if 1.0 - found.black_share - found.white_share < _READABLE_SHARE:
        return (
            "The image is too poor to be read: "
            f"{found.black_share + found.white_share:.0%} of it is plain black or white."
        )
    if found.grey_levels < _READABLE_LEVELS:
        return (
            f"The image is too poor to be read: of the "
            f"{_READABLE_LEVELS} levels of grey that are needed it has {found.grey_levels}."
        )
    if found.effective_px < _READABLE_PX:
        return (
            f"The image is too coarse to be read: about {found.effective_px} pixels a side carry "
            f"detail, and {_READABLE_PX} are needed at least."
        )
    return None


def measure_quality(grey: GreyImage) -> ImageQuality:
    """Measure uint8 [H, W], 32 px a side at least, and say what is out of the ordinary."""
    small = reduced(grey)
    black, white, levels = _greys(grey)
    rows, columns = _lines(grey), _lines(grey.T)
    rotation, inverted = _hanging(small)
    measured = Numbers(
        effective_px=round(min(_effective(rows), _effective(columns))),
        grey_levels=levels,
        black_share=black,
        white_share=white,
        mean_grey=_exposure(grey),
        rotation_degrees=rotation,
        inverted=inverted,
        part_of_chest=round(_part(small), 3),
        blocking=round(max(_blocking(rows), _blocking(columns)), 2),
    )
    return ImageQuality(
        **asdict(measured), warnings=warnings_of(measured), unreadable=unreadable(measured)
    )


def reduced(grey: GreyImage) -> Floats:
    """The image at 48 x 48, for what only its layout decides."""
    sampled = np.ascontiguousarray(_sampled(grey))
    small = Image.fromarray(sampled).resize((SMALL_PX, SMALL_PX), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


def _sampled(grey: GreyImage) -> GreyImage:
    """Rows and columns spread over the image, 512 to 1023 a side of a large one."""
    down, across = (max(1, side // _SAMPLED_SIDE_PX) for side in grey.shape)
    return grey[::down, ::across]


def standardised(values: Floats) -> Floats:
    """The values less their mean, over their standard deviation."""
    centred = values - values.mean()
    scaled: Floats = centred / (np.sqrt((centred * centred).mean()) + 1e-6)
    return scaled


def fields_of(small: Floats) -> Floats:
    """The means of 12 x 12 fields."""
    fields = Image.fromarray(small).resize((FIELDS, FIELDS), Image.Resampling.BOX)
    return standardised(np.asarray(fields))


def _likeness(fields: Floats, template: Floats) -> float:
    """The correlation of two standardised arrays, -1 to 1."""
    return float((fields * template).mean())


_TEMPLATE = standardised(_CHEST)


_FLAT_TEMPLATE = _TEMPLATE.ravel()


def _tilted_places() -> NDArray[np.intp]:
    """For each tilt and field, which of 36 x 36 places to look at; 36 x 36 itself if none."""
    side = 3 * FIELDS
    down, across = np.mgrid[:FIELDS, :FIELDS].reshape(2, -1) - (FIELDS - 1) / 2
    places = []
    for angle in np.radians(_TILTS):
        column = np.floor(3 * (across * np.cos(angle) - down * np.sin(angle)) + side / 2).astype(
            int
        )
        row = np.floor(3 * (across * np.sin(angle) + down * np.cos(angle)) + side / 2).astype(int)
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        places.append(np.where(inside, row * side + column, side * side))
    return np.array(places)


_TILTED = _tilted_places()


def _windows(small: Floats) -> list[Floats]:
    """What is left of an image of 48 px of which a part is cut off."""
    half, third, fifth = SMALL_PX // 2, round(0.3 * SMALL_PX), SMALL_PX // 5
    return [
        small[:, :half], small[:, half:], small[:half], small[half:],
        small[:, :-third], small[:, third:], small[:-third], small[third:],
        small[fifth:-fifth, fifth:-fifth],
    ]  # fmt: skip


_PARTS = [
    fields_of(np.ascontiguousarray(window))
    for window in _windows(
        np.asarray(Image.fromarray(_CHEST).resize((SMALL_PX, SMALL_PX), Image.Resampling.BICUBIC))
    )
]


def _part(small: Floats) -> float:
    """How much more the image is like a part of a chest than like a whole one."""
    fields = fields_of(small)
    return max(_likeness(fields, part) for part in _PARTS) - _likeness(fields, _TEMPLATE)


def _hanging(small: Floats) -> tuple[int, bool]:
    """By how many degrees the image seems to be turned, and whether black seems to be white."""
    fields = fields_of(small)
    turned = [_likeness(np.rot90(fields, quarter), _TEMPLATE) for quarter in range(4)]
    quarter = int(np.argmax(turned))
    if -min(turned) > max(turned) and -turned[0] > _CLEARLY_INVERTED:
        return 0, True
    if turned[quarter] > turned[0] + _CLEARLY_TURNED:
        return 90 * quarter, False
    finer = np.asarray(Image.fromarray(small).resize(2 * (3 * FIELDS,), Image.Resampling.BOX))
    tilted = np.append(finer.ravel(), finer.mean())[_TILTED]
    likenesses = [_likeness(standardised(one), _FLAT_TEMPLATE) for one in tilted]
    return _TILTS[int(np.argmax(likenesses))], False


def _greys(grey: GreyImage) -> tuple[float, float, int]:
    """The shares of pixels at 0 and at 255, and the levels between the half-percent ends."""
    down, across = (-(-side // _SAMPLED_SIDE_PX) for side in grey.shape)
    sampled = grey[::down, ::across]
    counts = np.bincount(sampled.ravel(), minlength=256)
    n = sampled.size
    cumulated = np.cumsum(counts)
    within = (cumulated >= 0.005 * n) & (cumulated - counts <= 0.995 * n) & (counts > 0)
    return round(counts[0] / n, 4), round(counts[255] / n, 4), int(within.sum())


def _exposure(grey: GreyImage) -> float:
    """The mean grey of the middle, 0 to 255."""
    sampled = _sampled(grey)
    height, width = sampled.shape
    middle = sampled[height // 4 : height - height // 4, width // 4 : width - width // 4]
    return round(float(middle.mean()), 1)


def _lines(grey: GreyImage) -> Floats:
    """At most about 2 x 96 rows spread over the image, [lines, N]."""
    step = max(1, grey.shape[0] // _LINES)
    return np.ascontiguousarray(grey[step // 2 :: step]).astype(np.float32)


def _effective(lines: Floats) -> float:
    """How many samples a line of as much detail needs.

    The spectrum says where there is no more detail than rounding makes. Enlarging leaves the
    rhythm of the smaller image's pixels: steps where pixels were repeated, knots where they were
    joined by straight lines, and both leave detail behind that is none.
    """
    length = lines.shape[1]
    detail = _cutoff(lines)
    steps = np.abs(np.diff(lines, axis=1)).mean(axis=0)
    distinct = int((steps > 0.2 * steps.mean()).sum()) + 1
    if distinct < 0.6 * length:
        detail = min(detail, distinct)
    if detail < 0.8 * length:
        detail = min(detail, _knots(lines, detail))
    return detail


def _cutoff(lines: Floats) -> float:
    """Twice the lowest frequency, in cycles a line, that carries no detail."""
    whole = lines.shape[1]
    # A length with a large prime factor takes five times as long; a few pixels at the end do.
    length = _fast_length(whole)
    lines = lines[:, :length]
    window = np.hanning(length).astype(np.float32)
    spectrum = np.fft.rfft((lines - lines.mean(axis=1, keepdims=True)) * window, axis=1)
    power = (np.abs(spectrum) ** 2).mean(axis=0) / (window**2).sum()
    width = max(2, (power.size - 1) // _BANDS)
    n_bands = (power.size - 1) // width
    bands = np.median(power[1 : 1 + width * n_bands].reshape(n_bands, width), axis=1)
    empty = np.flatnonzero(bands < _ROUNDING_POWER)
    cutoff = 2.0 * (1 + width * int(empty[0])) * whole / length if empty.size else float(whole)
    return min(cutoff, float(whole))


def _fast_length(length: int) -> int:
    """The largest number of at most `length` that has no prime factor above 5."""
    return max(
        two * three * five
        for five in _powers(5, length)
        for three in _powers(3, length // five)
        for two in _powers(2, length // (five * three))[-1:]
    )


def _powers(base: int, most: int) -> list[int]:
    powers = [1]
    while powers[-1] * base <= most:
        powers.append(powers[-1] * base)
    return powers


def _knots(lines: Floats, detail: float) -> float:
    """The number of knots in a line where they have a clear rhythm; `detail` where not."""
    length = lines.shape[1]
    bends = (np.abs(np.diff(lines, 2, axis=1)) > 1.5).mean(axis=0)
    rhythm = np.abs(np.fft.rfft((bends - bends.mean()) * np.hanning(bends.size)))
    # Coded blocks of 8 and 4 pixels have a rhythm, too.
    for period in (4, 8):
        at = round(bends.size / period)
        rhythm[max(at - 2, 0) : at + 3] = 0.0
    low = max(int(detail / 2.3), 8)
    high = int(0.95 * detail)
    if high - low < 4:
        return detail
    peak = low + int(rhythm[low:high].argmax())
    around = float(np.median(rhythm[max(1, peak - 24) : peak + 25]))
    return peak * length / bends.size if rhythm[peak] > _KNOT_PEAK * around > 0 else detail


def _blocking(lines: Floats) -> float:
    """By how many greys the steps at every eighth pixel exceed those beside them."""
    steps = np.abs(np.diff(lines, axis=1))
    excess = steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2
    mean = np.clip(excess, -_LARGEST_STEP, _LARGEST_STEP).mean(axis=0)
    phases = np.array([mean[phase::_BLOCK_PX].mean() for phase in range(_BLOCK_PX)])
    return float(max(0.0, phases.max() - np.median(phases)))
