"""What the study found: `gan-study.md` and its two CSV files."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from cxr_gan.study.plan import Plan, RareLabels
from cxr_gan.study.statistics import ALL, LEVEL, RARE, Effect, Estimate
from cxr_gan.study.training import Predictions
from cxr_training.classifier.samples import LABELS, MASKED
from cxr_training.metrics.classification import auroc
from cxr_training.report.tables import format_interval, markdown_table

PAGE_NAME, FOLDER_NAME, RUNS_CSV = "gan-study.md", "gan-study", "runs.csv"
_EFFECT_COLUMNS = (
    *("arm", "against", "figure", "n_positive", "auroc", "low", "high"),
    *("effect", "low", "high", "p", "p_holm", "se_seeds", "se_patients"),
)
Line = Sequence[str | int | float | None]


@dataclass(frozen=True, slots=True)
class RunRow:
    """AUROC of a label, or a mean over labels, by one training on the validation images."""

    arm: str
    seed: int
    label: str
    auroc: float | None
    """None for a label without a positive, or without a negative."""
    n_positive: int
    n_images: int
    steps: int


def rows_of(arm: str, seed: int, predictions: Predictions, rare: RareLabels) -> list[RunRow]:
    """A row for each label, then the means over those that are evaluated."""
    rows: list[RunRow] = []
    areas: dict[str, float] = {}
    for column, label in enumerate(LABELS):
        inside = predictions.targets[:, column] != MASKED
        targets = predictions.targets[inside, column]
        area = areas[label] = auroc(targets, predictions.logits[inside, column])
        known, n = None if np.isnan(area) else area, int(targets.sum())
        rows.append(RunRow(arm, seed, label.value, known, n, len(targets), predictions.steps))
    for name, labels in ((ALL, rare.evaluated), (RARE, rare.evaluated_rare)):
        mean, n = (
            float(np.mean([areas[x] for x in labels])),
            sum(rare.validation[x] for x in labels),
        )
        n_images = len(predictions.targets)
        rows.append(RunRow(arm, seed, name, mean, n, n_images, predictions.steps))
    return rows


def write_runs(rows: Sequence[RunRow], folder: Path) -> None:
    """`runs.csv`, with these rows alone."""
    header = [field.name for field in fields(RunRow)]
    _write_csv(folder / RUNS_CSV, [header, *map(astuple, rows)])


def write_effects(effects: Sequence[Effect], folder: Path) -> None:
    """`effects.csv`."""
    lines: list[Line] = [_EFFECT_COLUMNS]
    for x in effects:
        numbers: list[float | None] = [x.auroc.value, x.auroc.low, x.auroc.high, *[None] * 7]
        if x.gain is not None:
            found = x.gain.interval
            numbers[3:] = [found.value, found.low, found.high, x.gain.p, x.p_holm]
            numbers += [x.gain.error_of_seeds, x.gain.error_of_patients]
        lines.append([x.arm, x.against, x.figure, x.n_positive, *numbers])
    _write_csv(folder / "effects.csv", lines)


def page(plan: Plan, rare: RareLabels, effects: Sequence[Effect], data: str, *, smoke: bool) -> str:
    """The page in Markdown; `data` says what was trained and evaluated on."""
    found = {(x.arm, x.figure): x for x in effects if x.against in (None, plan.reference)}
    lines = []
    for name, arm in plan.arms.items():
        added = "–" if arm.share is None else f"{rare.added(arm.share):,}"
        cells = [cell for figure in (RARE, ALL) for cell in _cells(found[name, figure])]
        lines.append([arm.title, added, *cells])
    counts = ", ".join(
        f"{x.replace('_', ' ')} ({rare.training[x]} training, {rare.validation[x]} validation)"
        for x in rare.labels
    )
    header = ["arm", "images added", "mean of the rare", "gain", "corrected p"]
    parts = [
        "# Do synthetic radiographs help the rare findings?",
        "Made by `make gan-study`; method and limits: [gan-study.md](../gan-study.md)."
        + (" **A smoke run: its figures mean nothing.**" if smoke else ""),
        " ".join(answer(plan, effects)),
        "Mean AUROC of each arm, and what it gains over real images alone:",
        markdown_table([*header, "mean of all", "gain", "corrected p"], lines),
        f"{data} Rare: {counts}. Balance: {rare.balance_to} images of each.",
        f"Each label: [effects.csv]({FOLDER_NAME}/effects.csv), not corrected for their number, so "
        f"read them as hints; each training: [runs.csv]({FOLDER_NAME}/{RUNS_CSV}). Whether the "
        "generators copy: [gan/README.md](gan/README.md).",
    ]
    return "\n\n".join(parts) + "\n"


def answer(plan: Plan, effects: Sequence[Effect]) -> list[str]:
    """The answer by rule from the figures, whichever way it falls: rare labels, all, controls."""
    arms = [name for name, arm in plan.arms.items() if arm.generator and not arm.shuffled]
    said = []
    for figure, over in ((RARE, "the rare labels"), (ALL, "all labels")):
        some = [x for x in effects if x.arm in arms and x.figure == figure and x.p_holm is not None]
        gains, losses = sum(x.wins for x in some), sum(x.loses for x in some)
        said.append(
            f"**On {over}, {gains} of {len(arms)} arms with synthetic radiographs gain over real "
            f"images alone and {losses} lose, beyond chance** (Holm, p below {LEVEL})."
        )
    for x in effects:
        if x.against in plan.label_controls and x.figure == RARE:
            said.append(f"Right labels less shuffled ones, on the rare: {signed(x.gain)}.")
    return said


def signed(estimate: Estimate | None) -> str:
    """E.g. `+0.012 (-0.004 to +0.028)`."""
    if estimate is None:
        return "–"
    found = estimate.interval
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _cells(x: Effect) -> list[str]:
    mark = "**" if x.beyond_chance else ""
    p = "–" if x.p_holm is None else f"{x.p_holm:.3f}"
    return [format_interval(x.auroc), f"{mark}{signed(x.gain)}{mark}", p]


def _write_csv(path: Path, lines: Iterable[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for line in lines:
            writer.writerow(f"{x:.5f}" if isinstance(x, float) else x for x in line)
    partial.replace(path)
