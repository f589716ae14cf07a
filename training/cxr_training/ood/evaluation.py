"""Evaluates a published detector as it is served: AUROC and refusals by kind, with intervals."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_contracts import Interval, MetricRow
from cxr_gateway.ood import OodScore, load_ood_detector
from cxr_training.data.errors import DataError
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.test_set import read_test_set
from cxr_training.metrics.bootstrap import interval_of, patient_weights, share_interval
from cxr_training.metrics.classification import aurocs
from cxr_training.metrics.rows import metric_row
from cxr_training.ood.data import GreyImage, read_ood_data
from cxr_training.ood.probes import (
    AS_PUBLISHED,
    RADIOGRAPH,
    Probe,
    corrupted_probes,
    radiograph_probes,
    real_probes,
    synthetic_probes,
)

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
    """Evaluate the model folder on the `validation` or `test` radiographs of `data`.

    The split of a patient follows from the patient's number alone, so that validation patients of
    any part of NIH's data were never trained on. DataError where there are none.
    """
    detector = load_ood_detector(folder)
    recipe = detector.manifest.training.recipe
    if split == "test":
        images = list(read_test_set(data).boxed.images.values())
    else:
        images = read_ood_data(data, int(recipe["calibration_percent"])).validation
    if not images:
        raise DataError(data, f"has no {split} patients")
    rows, outcomes = evaluate(
        detector.check, images, seed=int(recipe["seed"]), synthetic_per_kind=synthetic_per_kind
    )
    return Measurement(rows, outcomes, detector.manifest.labels[0].threshold, len(images))


def evaluate(
    check: Check, images: Sequence[Radiograph], *, seed: int, synthetic_per_kind: int
) -> tuple[list[ResultRow], list[Outcome]]:
    """All rows, and the single outcomes behind them.

    Args:
        check: the detector's, as it is served.
        images: radiographs of patients that training never saw.
        seed: of the synthetic images, random parts and resampling.
        synthetic_per_kind: how many images of each synthetic kind.
    """
    rng = np.random.default_rng(seed)
    radiographs = _outcomes(check, radiograph_probes(rng, images))
    others = _outcomes(check, real_probes(rng))
    others += _outcomes(check, synthetic_probes(rng, synthetic_per_kind))
    others += _outcomes(check, corrupted_probes(rng, images))
    published = [outcome for outcome in radiographs if outcome.kind == AS_PUBLISHED]
    rows = [_row(group, seed) for group in _by_subset(published, images)]
    rows += [_row(group, seed) for group in _by_kind(radiographs)]
    rows += [_row(group, seed, published) for group in _by_kind(others)]
    return rows, radiographs + others


def share(chosen: npt.NDArray[np.bool_], groups: Sequence[str], seed: int) -> Interval:
    """Share of the chosen, its interval by resampling groups."""
    weights = patient_weights(groups, _RESAMPLES, seed)
    totals = weights.sum(axis=1)
    draws = (weights @ chosen) / np.where(totals > 0, totals, np.nan)
    return share_interval(np.array([chosen.mean(), *draws]), len(set(groups)))


def write_table(rows: Sequence[ResultRow], path: Path) -> None:
    """The rows as CSV; shares and areas with their 95% intervals."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for row in rows:
            area = ["", "", ""] if row.auroc is None else _cells(row.auroc)
            facts = [row.source, row.kind, row.n, row.n_groups]
            writer.writerow([*facts, *_cells(row.refused), *area, f"{row.highest:.4f}"])


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


def draw_results(
    rows: Sequence[ResultRow], outcomes: Sequence[Outcome], threshold: float, path: Path
) -> None:
    """What is refused, and how far the scores stand apart, as PNG."""
    from matplotlib.figure import Figure

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
        scores = [outcome.score for outcome in outcomes if outcome.source == source]
        right.hist(scores, color=colour, label=source, **style)
    right.axvline(threshold, color="black", ls="--", lw=1)
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


def _auroc(radiographs: Sequence[Outcome], others: Sequence[Outcome], seed: int) -> Interval:
    scores = [outcome.score for outcome in (*radiographs, *others)]
    targets = [True] * len(radiographs) + [False] * len(others)
    weights = np.hstack(
        [
            patient_weights([outcome.group for outcome in part], _RESAMPLES, seed + i)
            for i, part in enumerate((radiographs, others))
        ]
    )
    value = float(aurocs(targets, scores, np.ones((1, len(scores))))[0])
    # In slices: a thousand weights of each of twenty thousand images do not fit at once.
    draws = [aurocs(targets, scores, part) for part in np.array_split(weights, 50)]
    return interval_of(value, np.concatenate(draws))


def _by_subset(published: Sequence[Outcome], images: Sequence[Radiograph]) -> list[list[Outcome]]:
    # `published` keeps the order of `images`.
    subsets: dict[str, list[Outcome]] = {}
    for outcome, image in zip(published, images, strict=True):
        for name in _subsets_of(image):
            subsets.setdefault(name, []).append(replace(outcome, kind=name))
    return [subsets[name] for name in sorted(subsets)]


def _subsets_of(image: Radiograph) -> list[str]:
    with Image.open(image.path) as opened:
        side = max(opened.size)
    size = "64 px" if side <= 64 else "128 px" if side <= 128 else "256 px and more"
    age = "under" if image.age_years < _CHILD_BELOW_YEARS else "from"
    sick = "a finding" if image.findings else "no finding"
    return [
        f"source={size}",
        f"view={image.view}",
        f"age={age} {_CHILD_BELOW_YEARS} years",
        f"label={sick}",
    ]


def _by_kind(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """The outcomes of each kind; after them, for other things than radiographs, of each source."""
    kinds: dict[tuple[str, str], list[Outcome]] = {}
    sources: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault((outcome.source, outcome.kind), []).append(outcome)
        if outcome.source != RADIOGRAPH:
            whole = sources.setdefault((outcome.source, "all"), [])
            whole.append(replace(outcome, kind="all"))
    return [*kinds.values(), *sources.values()]


def _cells(interval: Interval) -> list[str]:
    return [f"{end:.4f}" for end in (interval.value, interval.low, interval.high)]
