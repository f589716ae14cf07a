"""`gan-study.md`, its CSV files and its plot: made from the outcome alone."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cxr_gan.study.plan import Plan, RareLabels
from cxr_gan.study.statistics import ALL, LEVEL, RARE, Effect, Estimate
from cxr_gan.study.training import Predictions
from cxr_training.classifier.samples import LABELS, UNJUDGED
from cxr_training.metrics.classification import auroc
from cxr_training.report.tables import format_interval, markdown_table

PAGE_NAME, FOLDER_NAME, RUNS_CSV = "gan-study.md", "gan-study", "runs.csv"
_EFFECT_COLUMNS = (
    *("arm", "against", "figure", "n_positive", "auroc", "low", "high"),
    *("effect", "low", "high", "p", "p_holm", "se_seeds", "se_patients"),
)
_PLOT_COLUMNS = 5


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a finished study: all that the page and the plot are made from."""

    plan: Plan
    seeds: tuple[int, ...]
    rare: RareLabels
    effects: tuple[Effect, ...]
    side_px: int
    """Of the classifiers' input."""
    n_training: int
    """Real training images."""
    n_validation: int
    sources: tuple[str, ...]
    """What the real images are, a sentence a set."""
    smoke: bool

    def effect(self, arm: str, figure: str) -> Effect:
        """Over the reference, whose own effects have no gain."""
        against = None if arm == self.plan.reference else self.plan.reference
        wanted = (arm, against, figure)
        return next(x for x in self.effects if (x.arm, x.against, x.figure) == wanted)


def rows_of(arm: str, seed: int, predictions: Predictions, rare: RareLabels) -> list[RunRow]:
    """A row for each label, then the means over those that are evaluated."""
    rows: list[RunRow] = []
    areas: dict[str, float] = {}
    for column, label in enumerate(LABELS):
        inside = predictions.targets[:, column] != UNJUDGED
        targets = predictions.targets[inside, column]
        area = areas[label] = auroc(targets, predictions.logits[inside, column])
        known, n = None if np.isnan(area) else area, int(targets.sum())
        rows.append(RunRow(arm, seed, label.value, known, n, len(targets), predictions.steps))
    for name, labels in ((ALL, rare.evaluated), (RARE, rare.evaluated_rare)):
        area, n = (
            float(np.mean([areas[x] for x in labels])),
            sum(rare.validation[x] for x in labels),
        )
        n_images = len(predictions.targets)
        rows.append(RunRow(arm, seed, name, area, n, n_images, predictions.steps))
    return rows


def write_runs(rows: Sequence[RunRow], folder: Path) -> None:
    """`runs.csv`, with these rows alone."""
    header = [field.name for field in fields(RunRow)]
    _write_csv(folder / RUNS_CSV, [header, *map(astuple, rows)])


def write_page(outcome: Outcome, rows: Sequence[RunRow], results: Path) -> Path:
    """The page under `results`, and its files beside it; the page."""
    folder, target = results / FOLDER_NAME, results / PAGE_NAME
    write_runs(rows, folder)
    lines: list[list[str | int | float | None]] = []
    for x in outcome.effects:
        numbers: list[float | None] = [x.auroc.value, x.auroc.low, x.auroc.high, *[None] * 7]
        if x.gain is not None:
            found = x.gain.interval
            numbers[3:] = [found.value, found.low, found.high, x.gain.p, x.p_holm]
            numbers += [x.gain.error_of_seeds, x.gain.error_of_patients]
        lines.append([x.arm, x.against, x.figure, x.n_positive, *numbers])
    _write_csv(folder / "effects.csv", [_EFFECT_COLUMNS, *lines])
    draw_effects(outcome, folder / "effects.png")
    target.write_text(page(outcome), encoding="utf-8")
    return target


def page(outcome: Outcome) -> str:
    """The page, in Markdown; method and limits stand in docs/gan-study.md."""
    rare, plan = outcome.rare, outcome.plan
    counts = ", ".join(
        f"{_shown(x)} ({rare.training[x]} training, {rare.validation[x]} validation)"
        for x in rare.labels
    )
    unknown = [_shown(x) for x in rare.training if x not in rare.evaluated]
    parts = [
        "# Do synthetic radiographs help the rare findings?",
        "Made by `make gan-study`; method and limits: [gan-study.md](../gan-study.md)."
        + (" **A smoke run: its figures mean nothing.**" if outcome.smoke else ""),
        "## Answer",
        " ".join(answer(outcome)),
        "## Data",
        f"{'; '.join(outcome.sources)}. {outcome.n_training:,} real training images, "
        f"{outcome.n_validation:,} real validation images, at {outcome.side_px} px; {plan.steps} "
        f"steps, seeds {', '.join(map(str, outcome.seeds))}. Rare: {counts}. Balance: "
        f"{rare.balance_to} images each. Too few to be evaluated: {', '.join(unknown) or 'none'}.",
        "## Mean AUROC of each arm",
        _means_table(outcome),
        f"![Gain in AUROC of each arm, label by label, 95% intervals]({FOLDER_NAME}/effects.png)",
        f"Each label: [effects.csv]({FOLDER_NAME}/effects.csv), not corrected for their number, so "
        f"read them as hints; of each training: [runs.csv]({FOLDER_NAME}/{RUNS_CSV}). Whether the "
        "generators copy: [gan/README.md](gan/README.md).",
    ]
    return "\n\n".join(parts) + "\n"


def answer(outcome: Outcome) -> list[str]:
    """The answer by rule from the figures, whichever way it falls: rare labels, all, controls."""
    found = []
    for figure, over in ((RARE, "the rare labels"), (ALL, "all labels")):
        arms = [x for x, arm in outcome.plan.arms.items() if arm.generator and not arm.shuffled]
        effects = [outcome.effect(name, figure) for name in arms]
        gains, losses = sum(x.wins for x in effects), sum(x.loses for x in effects)
        found.append(
            f"**On {over}, {gains} of {len(arms)} arms with synthetic radiographs gain over real "
            f"images alone and {losses} lose, beyond chance** (Holm, p below {LEVEL})."
        )
    for x in outcome.effects:
        if x.against in outcome.plan.label_controls and x.figure == RARE:
            found.append(f"Right labels less shuffled ones, on the rare: {signed(x.gain)}.")
    return found


def signed(estimate: Estimate | None) -> str:
    """E.g. `+0.012 (-0.004 to +0.028)`."""
    if estimate is None:
        return "–"
    found = estimate.interval
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def draw_effects(outcome: Outcome, target: Path) -> None:
    """A panel for each arm: its gain over real images alone, label by label, rare labels first."""
    arms = [name for name in outcome.plan.arms if name != outcome.plan.reference]
    rare = [RARE, *(x.value for x in outcome.rare.evaluated_rare)]
    shown = [*rare, ALL, *(x.value for x in outcome.rare.evaluated if x.value not in rare)]
    lines = -(-len(arms) // _PLOT_COLUMNS)
    size = (3.0 * _PLOT_COLUMNS, lines * (0.26 * len(shown) + 1.2))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(lines, _PLOT_COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, arms, strict=False):
        for place, label in enumerate(shown):
            gain, colour = outcome.effect(name, label).gain, "C3" if label in rare else "C0"
            if gain is not None:
                found = gain.interval
                error = [[found.value - found.low], [found.high - found.value]]
                mark = "D" if label in (ALL, RARE) else "o"
                panel.errorbar(found.value, place, xerr=error, fmt=mark, color=colour)
        panel.axvline(0, color="0.5", linewidth=0.8)
        panel.set_title(outcome.plan.arms[name].title, fontsize=8)
        panel.grid(axis="x", alpha=0.3)
    for panel in panels[len(arms) :]:
        panel.axis("off")
    panels[0].set_yticks(range(len(shown)), map(_shown, shown), fontsize=7)
    panels[0].invert_yaxis()
    figure.supxlabel("gain in AUROC over real images alone, 95% intervals", fontsize=9)
    figure.savefig(target, dpi=110)


def _means_table(outcome: Outcome) -> str:
    header = ["arm", "images added", "mean of the rare", "gain", "corrected p"]
    lines = []
    for name, arm in outcome.plan.arms.items():
        added = "–" if arm.share is None else f"{outcome.rare.added(arm.share):,}"
        line = [arm.title, added]
        for x in (outcome.effect(name, figure) for figure in (RARE, ALL)):
            mark = "**" if x.beyond_chance else ""
            p = "–" if x.p_holm is None else f"{x.p_holm:.3f}"
            line += [format_interval(x.auroc), f"{mark}{signed(x.gain)}{mark}", p]
        lines.append(line)
    return markdown_table([*header, "mean of all", "gain", "corrected p"], lines)


def _write_csv(path: Path, lines: Iterable[Sequence[str | int | float | None]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for line in lines:
            writer.writerow(f"{x:.5f}" if isinstance(x, float) else x for x in line)
    partial.replace(path)


def _shown(label: str) -> str:
    return label.replace("_", " ")
