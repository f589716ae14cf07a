"""Evaluates a published detector as it is served: AUROC and refusals by kind, with intervals.

Probes are the images that it is evaluated on: out-of-distribution ones, and radiographs in
practice. Each carries its group, the file or patient that it came from: intervals resample groups.
The order of the draws is part of the published figures.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxr_contracts import Interval, MetricRow
from cxr_gateway.ood import OodScore, load_ood_detector
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey, through_jpeg
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.test_set import read_test_set
from cxr_training.metrics.bootstrap import interval_or_none, share_interval, with_resamples
from cxr_training.metrics.classification import aurocs
from cxr_training.ood.data import (
    EVALUATION_PHOTOGRAPHS,
    MEDICAL_DICOM,
    GreyImage,
    random_part,
    read_faces,
    read_medical,
    read_ood_data,
    read_photograph,
)
from cxr_training.ood.synthetic import TRAINED_KINDS, UNTRAINED_KINDS
from cxr_training.report.tables import cells_of, metric_row

RADIOGRAPH = "radiograph"
AS_PUBLISHED = "as published"
_PARTS_PER_FILE = 15
Change = Callable[[np.random.Generator, GreyImage], GreyImage]


@dataclass(frozen=True, slots=True)
class Probe:
    """An image to evaluate the detector on."""

    source: str
    kind: str
    group: str
    image: GreyImage


def real_probes(rng: np.random.Generator) -> Iterator[Probe]:
    """Real images of other things, never trained on, whole and in random parts."""
    for kind, names in MEDICAL_DICOM.items():
        for name in names:
            for image in read_medical(name):
                yield from _whole_and_parts(rng, "real medical", kind, name, image)
    for path in EVALUATION_PHOTOGRAPHS:
        name = path.partition("/")[2]
        image = read_photograph(path)
        yield from _whole_and_parts(rng, "real photograph", "photograph", name, image)
    for i, face in enumerate(read_faces()):
        # 25 px a side as packaged: below what the detector accepts, hence enlarged.
        enlarged = np.asarray(Image.fromarray(face).resize((100, 100), Image.Resampling.BICUBIC))
        yield Probe("real photograph", "faces and their surroundings", f"lfw-{i}", enlarged)


def synthetic_probes(rng: np.random.Generator, per_kind: int) -> Iterator[Probe]:
    """Synthetic images: new ones of the trained kinds, and of kinds that were not trained."""
    for source, kinds in (("trained", TRAINED_KINDS), ("untrained", UNTRAINED_KINDS)):
        for kind, draw in kinds.items():
            for i in range(per_kind):
                image = draw(rng, int(rng.integers(96, 640)))
                yield Probe(f"synthetic, kind {source}", kind, f"{kind}-{i}", image)


def changed_probes(
    rng: np.random.Generator, images: Sequence[Radiograph], source: str, changes: dict[str, Change]
) -> Iterator[Probe]:
    """Every radiograph in every way of `CORRUPTIONS`, or of `VARIATIONS`."""
    for radiograph in images:
        image = decode_grey(radiograph.path)
        for kind, change in changes.items():
            yield Probe(source, kind, radiograph.patient, change(rng, image))


def _whole_and_parts(
    rng: np.random.Generator, source: str, kind: str, name: str, image: GreyImage
) -> Iterator[Probe]:
    yield Probe(source, kind, name, image)
    for _ in range(_PARTS_PER_FILE):
        part = random_part(rng, image, smallest=0.6)
        yield Probe(source, kind, name, part[:, ::-1] if rng.random() < 0.5 else part)


def _lettered(rng: np.random.Generator, image: GreyImage) -> GreyImage:
    """A side marker in an upper corner, and a cable across."""
    canvas = Image.fromarray(image)
    draw, width, height = ImageDraw.Draw(canvas), canvas.width, canvas.height
    font = ImageFont.load_default(max(8.0, width / 9))
    corner = (width * rng.uniform(0, 0.8), height * rng.uniform(0, 0.15))
    draw.text(corner, "L" if rng.random() < 0.5 else "AP", fill=255, font=font)
    cable = [(width * x, height * float(rng.uniform(0.2, 0.9))) for x in (0.0, 0.35, 0.7, 1.0)]
    draw.line(cable, fill=240, width=max(1, width // 100))
    return np.asarray(canvas, dtype=np.uint8)


def _cut_out(rng: np.random.Generator, image: GreyImage, seen: float) -> GreyImage:
    height, width = (int(side * seen) for side in image.shape)
    top = int(rng.integers(0, image.shape[0] - height + 1))
    left = int(rng.integers(0, image.shape[1] - width + 1))
    return _resized(image[top : top + height, left : left + width], *image.shape[::-1])


def _half(rng: np.random.Generator, image: GreyImage) -> GreyImage:
    height, width = image.shape
    return image[:, : width // 2] if rng.random() < 0.5 else image[height // 2 :]


def _trimmed(image: GreyImage, part: float) -> GreyImage:
    y, x = (int(side * part) for side in image.shape)
    return image[y : image.shape[0] - y, x : image.shape[1] - x]


def _bordered(image: GreyImage, part: float, grey: int) -> GreyImage:
    y, x = (int(side * part) for side in image.shape)
    bordered = np.full_like(image, grey)
    bordered[y:-y, x:-x] = image[y:-y, x:-x]
    return bordered


def _rotated(image: GreyImage, degrees: float) -> GreyImage:
    rotated = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(rotated, dtype=np.uint8)


def _resized(image: GreyImage, width: int, height: int) -> GreyImage:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _gamma(image: GreyImage, gamma: float) -> GreyImage:
    curved: NDArray[np.float64] = 255 * (image / 255.0) ** gamma
    return np.rint(curved).astype(np.uint8)


def _noisy(rng: np.random.Generator, image: GreyImage, deviation: float) -> GreyImage:
    noisy = image + rng.normal(0, deviation, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


# After these it is a radiograph no longer.
CORRUPTIONS: dict[str, Change] = {
    "inverted": lambda _, x: 255 - x,
    "turned by 90 degrees": lambda rng, x: np.rot90(x, 1 if rng.random() < 0.5 else 3),
    "turned by 180 degrees": lambda _, x: np.rot90(x, 2),
    "flipped top to bottom": lambda _, x: x[::-1],
    "turned by 45 degrees": lambda rng, x: _rotated(x, 45 if rng.random() < 0.5 else -45),
    "cut out (40% of each side)": lambda rng, x: _cut_out(rng, x, 0.40),
    "cut out (25% of each side)": lambda rng, x: _cut_out(rng, x, 0.25),
    "one half": _half,
    "inverted and turned by 90 degrees": lambda _, x: np.rot90(255 - x),
}
# After these it still is one.
VARIATIONS: dict[str, Change] = {
    AS_PUBLISHED: lambda _, x: x,
    "mirrored": lambda _, x: x[:, ::-1],
    "turned by up to 10 degrees": lambda rng, x: _rotated(x, float(rng.uniform(-10, 10))),
    "8% cut off each side": lambda _, x: _trimmed(x, 0.08),
    "black border of 10%": lambda _, x: _bordered(x, 0.10, 0),
    "white border of 5%": lambda _, x: _bordered(x, 0.05, 255),
    "letters and a cable": _lettered,
    "gamma 0.6": lambda _, x: _gamma(x, 0.6),
    "gamma 1.7": lambda _, x: _gamma(x, 1.7),
    "half the contrast": lambda _, x: (x // 2 + 64).astype(np.uint8),
    "JPEG at quality 15": lambda _, x: through_jpeg(x, 15),
    "brought to 64 px": lambda _, x: _resized(x, 64, 64),
    "noise of 8 grey values": lambda rng, x: _noisy(rng, x, 8.0),
    "stretched to 4:5": lambda _, x: _resized(x, x.shape[1], x.shape[0] * 5 // 4),
}


Check = Callable[[GreyImage], OodScore]
_RESAMPLES = 1000
_CHILD_BELOW_YEARS = 16
_COLUMNS = (
    *("source", "kind", "n", "groups"),
    *("refused", "refused_low", "refused_high"),
    *("auroc", "auroc_low", "auroc_high", "highest_score"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the detector said of an image."""

    source: str
    kind: str
    group: str
    score: float
    refused: bool


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A line of the table; `auroc` is None for radiographs, which have no AUROC of their own."""

    source: str
    kind: str
    n: int
    n_groups: int
    refused: Interval
    auroc: Interval | None
    highest: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """A published detector, measured on a split."""

    rows: list[ResultRow]
    outcomes: list[Outcome]
    threshold: float
    n_radiographs: int


def measure(folder: Path, data: Path, split: str, synthetic_per_kind: int) -> Measurement:
    """Evaluate the model folder, as it is served, on radiographs and on everything else.

    The split of a patient follows from the patient's number alone, so that validation patients of
    any part of NIH's data were never trained on.

    Args:
        folder: of the model; its recipe has the seed of all that is random here.
        data: NIH's images, or what holds `nih/`; for test patients what holds `test/`.
        split: `validation` or `test`.
        synthetic_per_kind: how many images of each synthetic kind.

    Raises:
        DataError: `data` has no patients of the split.
    """
    detector = load_ood_detector(folder)
    recipe = detector.manifest.training.recipe
    seed, rng = int(recipe["seed"]), np.random.default_rng(int(recipe["seed"]))
    if split == "test":
        images = list(read_test_set(data).boxed.images.values())
    else:
        images = read_ood_data(data, int(recipe["calibration_percent"])).validation
    if not images:
        raise DataError(data, f"has no {split} patients")
    probes = changed_probes(rng, images, RADIOGRAPH, VARIATIONS)
    radiographs = _outcomes(detector.check, probes)
    others = _outcomes(detector.check, real_probes(rng))
    others += _outcomes(detector.check, synthetic_probes(rng, synthetic_per_kind))
    probes = changed_probes(rng, images, "corrupted radiograph", CORRUPTIONS)
    others += _outcomes(detector.check, probes)
    published = [outcome for outcome in radiographs if outcome.kind == AS_PUBLISHED]
    # They keep the order of the images.
    of_subsets = [
        replace(outcome, kind=name)
        for outcome, image in zip(published, images, strict=True)
        for name in _subsets_of(image)
    ]
    of_sources = [replace(outcome, kind="all") for outcome in others]
    rows = [_row(group, seed) for _, group in sorted(_by_kind(of_subsets).items())]
    rows += [_row(group, seed) for group in _by_kind(radiographs).values()]
    for group in (*_by_kind(others).values(), *_by_kind(of_sources).values()):
        rows.append(_row(group, seed, published))
    threshold = detector.manifest.labels[0].threshold
    return Measurement(rows, radiographs + others, threshold, len(images))


def share(chosen: npt.NDArray[np.bool_], groups: Sequence[str], seed: int) -> Interval:
    """Share of the chosen, its interval by resampling groups."""
    lines = with_resamples(groups, _RESAMPLES, seed)
    return share_interval((lines @ chosen) / lines.sum(axis=1), len(set(groups)))


def write_table(rows: Sequence[ResultRow], path: Path) -> None:
    """The rows as CSV; shares and areas with their 95% intervals."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for row in rows:
            area = ["", "", ""] if row.auroc is None else cells_of(row.auroc)
            facts = [row.source, row.kind, row.n, row.n_groups]
            writer.writerow([*facts, *cells_of(row.refused), *area, f"{row.highest:.4f}"])


def metric_rows(rows: Sequence[ResultRow], split: str) -> list[MetricRow]:
    """The rows as the manifest keeps them."""
    metrics = []
    for row in rows:
        figures = {"false_refusal_rate": row.refused}
        subset = row.kind
        if row.auroc is not None:
            figures = {"auroc": row.auroc, "refused_share": row.refused}
            subset = f"{row.source}: {row.kind}"
        refused = round(row.refused.value * row.n)
        for name, result in figures.items():
            metrics += metric_row(name, subset, result, n=row.n, n_positive=refused, split=split)
    return metrics


def draw_results(measured: Measurement, path: Path) -> None:
    """What is refused, and how far the scores stand apart, as PNG."""
    rows = measured.rows
    shown = [row for row in rows if row.auroc is None and "=" not in row.kind]
    shown += [row for row in rows if row.auroc is not None and row.kind != "all"]
    colours = {source: f"C{i}" for i, source in enumerate(dict.fromkeys(r.source for r in shown))}
    figure = Figure(figsize=(13, 0.2 * len(shown) + 1.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for i, row in enumerate(shown):
        colour = colours[row.source]
        left.plot([row.refused.low, row.refused.high], [i, i], color=colour, lw=3, alpha=0.4)
        left.plot(row.refused.value, i, "o", color=colour, ms=4)
    left.set_yticks(range(len(shown)), [f"{row.kind} ({row.n})" for row in shown], fontsize=7)
    left.invert_yaxis()
    left.set(xlabel="share refused, with 95% interval", xlim=(-0.02, 1.02))
    left.grid(axis="x", alpha=0.3)
    style = {"bins": np.linspace(0, 1, 41), "density": True, "histtype": "step", "lw": 1.5}
    for source, colour in colours.items():
        scores = [outcome.score for outcome in measured.outcomes if outcome.source == source]
        right.hist(scores, color=colour, label=source, **style)
    right.axvline(measured.threshold, color="black", ls="--", lw=1)
    right.set(xlabel="score", ylabel="density (log)", yscale="log")
    right.legend(fontsize=8, loc="upper center")
    figure.savefig(path, dpi=110)


def _outcomes(check: Check, probes: Iterable[Probe]) -> list[Outcome]:
    outcomes = []
    for probe in probes:
        found = check(np.ascontiguousarray(probe.image))
        refused = not found.accepted
        outcomes.append(Outcome(probe.source, probe.kind, probe.group, found.score, refused))
    return outcomes


def _row(
    outcomes: Sequence[Outcome], seed: int, radiographs: Sequence[Outcome] | None = None
) -> ResultRow:
    """The row of outcomes of one kind; with an AUROC if radiographs are given."""
    groups = [outcome.group for outcome in outcomes]
    return ResultRow(
        source=outcomes[0].source,
        kind=outcomes[0].kind,
        n=len(outcomes),
        n_groups=len(set(groups)),
        refused=share(np.array([outcome.refused for outcome in outcomes]), groups, seed),
        auroc=None if radiographs is None else _auroc(radiographs, outcomes, seed),
        highest=max(outcome.score for outcome in outcomes),
    )


def _auroc(radiographs: Sequence[Outcome], others: Sequence[Outcome], seed: int) -> Interval | None:
    scores = [outcome.score for outcome in (*radiographs, *others)]
    targets = [True] * len(radiographs) + [False] * len(others)
    lines = [
        with_resamples([outcome.group for outcome in part], _RESAMPLES, seed + i)
        for i, part in enumerate((radiographs, others))
    ]
    return interval_or_none(aurocs(targets, scores, np.hstack(lines)))


def _subsets_of(image: Radiograph) -> list[str]:
    with Image.open(image.path) as opened:
        side = max(opened.size)
    size = "64 px" if side <= 64 else "128 px" if side <= 128 else "256 px and more"
    age = "under" if image.age_years < _CHILD_BELOW_YEARS else "from"
    sick = "a finding" if image.findings else "no finding"
    return [
        f"source={size}",
        f"view={image.view}",
        f"sex={image.sex}",
        f"age={age} {_CHILD_BELOW_YEARS} years",
        f"label={sick}",
    ]


def _by_kind(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    """The outcomes of each source and kind."""
    kinds: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault((outcome.source, outcome.kind), []).append(outcome)
    return kinds
