"""Judges a published gate, as it is served: AUC and refusals by kind, with 95% intervals."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_contracts import Interval, MetricRow
from cxr_gateway.gate import Gate
from cxr_training.data.radiographs import Radiograph
from cxr_training.gate.judging import Judged, drawn_strangers, real_strangers, spoiled, varied
from cxr_training.metrics.bootstrap import interval_of, patient_weights
from cxr_training.metrics.classification import aurocs

RESAMPLES = 1000
_CHILD_BELOW_YEARS = 16
_Z = 1.96
_COLUMNS = (
    *("source", "kind", "n", "groups"),
    *("refused", "refused_low", "refused_high"),
    *("auroc", "auroc_low", "auroc_high", "highest_score"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate said of a picture."""

    source: str
    kind: str
    group: str
    score: float
    refused: bool


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A line of the table; `auroc` is None for radiographs, which have no AUC of their own."""

    source: str
    kind: str
    n: int
    n_groups: int
    refused: Interval
    auroc: Interval | None
    highest: float


def judge(gate: Gate, pictures: Iterable[Judged]) -> list[Outcome]:
    """The gate's word on each picture."""
    outcomes = []
    for judged in pictures:
        score = gate.check(np.ascontiguousarray(judged.picture))
        outcomes.append(
            Outcome(judged.source, judged.kind, judged.group, score.score, not score.accepted)
        )
    return outcomes


def evaluate(
    gate: Gate, images: Sequence[Radiograph], *, seed: int, drawn_per_kind: int
) -> tuple[list[ResultRow], list[Outcome]]:
    """All rows, and the single outcomes behind them.

    Args:
        gate: as it is served.
        images: radiographs of patients that training never saw.
        seed: of the drawn pictures, random parts and resampling.
        drawn_per_kind: how many pictures of each drawn kind.
    """
    rng = np.random.default_rng(seed)
    radiographs = judge(gate, varied(rng, list(images)))
    strangers = judge(gate, real_strangers(rng))
    strangers += judge(gate, drawn_strangers(rng, drawn_per_kind))
    strangers += judge(gate, spoiled(rng, list(images)))
    published = [outcome for outcome in radiographs if outcome.kind == "as published"]
    rows = _by_subset(published, images, seed)
    rows += [row_of(group, seed) for group in _grouped(radiographs)]
    rows += [row_of(group, seed, published) for group in _grouped(strangers)]
    return rows, radiographs + strangers


def row_of(
    outcomes: Sequence[Outcome], seed: int, radiographs: Sequence[Outcome] | None = None
) -> ResultRow:
    """The row of outcomes of one kind; with an AUC if radiographs are given."""
    first = outcomes[0]
    groups = [outcome.group for outcome in outcomes]
    return ResultRow(
        source=first.source,
        kind=first.kind,
        n=len(outcomes),
        n_groups=len(set(groups)),
        refused=share(np.array([outcome.refused for outcome in outcomes]), groups, seed),
        auroc=None if radiographs is None else _auroc(radiographs, outcomes, seed),
        highest=max(outcome.score for outcome in outcomes),
    )


def share(chosen: npt.NDArray[np.bool_], groups: Sequence[str], seed: int) -> Interval:
    """Share of the chosen, its interval by resampling groups.

    All or none leave nothing to resample: Wilson's interval of as many trials as groups.
    """
    value = float(chosen.mean())
    if 0 < value < 1:
        weights = patient_weights(groups, RESAMPLES, seed)
        totals = weights.sum(axis=1)
        draws = (weights @ chosen) / np.where(totals > 0, totals, np.nan)
        return interval_of(value, draws)
    margin = _Z**2 / (len(set(groups)) + _Z**2)
    low, high = (1 - margin, 1.0) if value == 1 else (0.0, margin)
    return Interval(value=value, low=low, high=high)


def write_table(rows: Sequence[ResultRow], path: Path) -> None:
    """The rows as CSV; shares and areas with their 95% intervals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        for row in rows:
            area = _cells(row.auroc) if row.auroc is not None else ["", "", ""]
            facts = [row.source, row.kind, row.n, row.n_groups]
            writer.writerow([*facts, *_cells(row.refused), *area, f"{row.highest:.4f}"])


def metric_rows(rows: Sequence[ResultRow]) -> list[MetricRow]:
    """The rows as the manifest keeps them."""
    metrics = []
    for row in rows:
        if row.auroc is None:
            metrics.append(_metric("false_refusal_rate", row.kind, row.refused, row))
        else:
            subset = f"{row.source}: {row.kind}"
            metrics.append(_metric("auroc", subset, row.auroc, row))
            metrics.append(_metric("refused_share", subset, row.refused, row))
    return metrics


def _by_subset(
    published: Sequence[Outcome], images: Sequence[Radiograph], seed: int
) -> list[ResultRow]:
    # `published` keeps the order of `images`.
    subsets: dict[str, list[Outcome]] = {}
    for outcome, image in zip(published, images, strict=True):
        for name in _subsets_of(image):
            subsets.setdefault(name, []).append(outcome)
    return [
        row_of([_renamed(outcome, name) for outcome in subsets[name]], seed)
        for name in sorted(subsets)
    ]


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


def _renamed(outcome: Outcome, kind: str) -> Outcome:
    return Outcome(outcome.source, kind, outcome.group, outcome.score, outcome.refused)


def _grouped(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    kinds: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault((outcome.source, outcome.kind), []).append(outcome)
    # A line for each source as a whole comes after its kinds.
    for source in {outcome.source: None for outcome in outcomes}:
        every = [_renamed(outcome, "all") for outcome in outcomes if outcome.source == source]
        if source != "radiograph":
            kinds[source, "all"] = every
    return list(kinds.values())


def _auroc(radiographs: Sequence[Outcome], strangers: Sequence[Outcome], seed: int) -> Interval:
    scores = [outcome.score for outcome in (*radiographs, *strangers)]
    targets = [True] * len(radiographs) + [False] * len(strangers)
    weights = np.hstack(
        [
            patient_weights([outcome.group for outcome in part], RESAMPLES, seed + i)
            for i, part in enumerate((radiographs, strangers))
        ]
    )
    value = float(aurocs(targets, scores, np.ones((1, len(scores))))[0])
    # In slices: a thousand weights of each of twenty thousand pictures do not fit at once.
    draws = [aurocs(targets, scores, part) for part in np.array_split(weights, 50)]
    return interval_of(value, np.concatenate(draws))


def _cells(interval: Interval) -> list[str]:
    return [f"{part:.4f}" for part in (interval.value, interval.low, interval.high)]


def _metric(name: str, subset: str, result: Interval, row: ResultRow) -> MetricRow:
    rounded = Interval(**{key: round(value, 4) for key, value in result.model_dump().items()})
    return MetricRow(
        name=name,
        subset=subset,
        split="validation",
        result=rounded,
        n=row.n,
        n_positive=round(row.refused.value * row.n),
    )
