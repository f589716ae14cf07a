"""The ablation's table and picture, from the arms' answers."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from cxr_contracts import Finding, Interval
from cxr_training.classifier.ablation.plan import Plan
from cxr_training.classifier.samples import LABELS
from cxr_training.metrics.bootstrap import FloatArray, Weights, interval_of, patient_weights
from cxr_training.metrics.classification import aurocs
from cxr_training.report.tables import format_interval, markdown_table

_RESAMPLES, _SEED = 1000, 1
_HEADER = ("arm", "says", "against", "figure", "value", "low", "high", "gain", "low", "high")
MEAN, PNEUMONIA = "mean AUROC", "Pneumonia's AUROC in large files"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one arm, and what it gains over the arm that it is compared with."""

    arm: str
    says: str
    against: str | None
    figure: str
    value: Interval
    gain: Interval | None


def ablation_lines(plan: Plan, folder: Path, min_positives: int) -> list[Line]:
    """The figures of every arm that has answered, paired over the same resampled patients."""
    comparisons = {name: (arm.says, arm.against) for name, arm in plan.arms.items()}
    comparisons |= {name: (reading.says, reading.of) for name, reading in plan.readings.items()}
    draws = {
        name: _draws(folder / f"{name}.npz", min_positives)
        for name in comparisons
        if (folder / f"{name}.npz").exists()
    }
    lines = []
    for name, figures in draws.items():
        says, against = comparisons[name]
        for figure, values in figures.items():
            other = draws.get(against or "", {}).get(figure)
            gain = None if other is None else values - other
            lines.append(
                Line(
                    name,
                    says,
                    against,
                    figure,
                    _interval(values),
                    gain if gain is None else _interval(gain),
                )
            )
    return lines


def write_ablation(lines: list[Line], folder: Path) -> None:
    """`ablation.csv`, `ablation.png` and `ablation.md` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ablation.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(_csv_line(line) for line in lines)
    (folder / "ablation.md").write_text(ablation_table(lines) + "\n")
    _draw([line for line in lines if line.gain is not None], folder / "ablation.png")


def ablation_table(lines: list[Line]) -> str:
    """Markdown, a line for each arm."""
    arms = list(dict.fromkeys(line.arm for line in lines))
    rows = []
    for arm in arms:
        by_figure = {line.figure: line for line in lines if line.arm == arm}
        mean = by_figure[MEAN]
        row = [mean.says, mean.against or "-"]
        for figure in (MEAN, PNEUMONIA):
            line = by_figure.get(figure)
            row.append("-" if line is None else format_interval(line.value))
            row.append("-" if line is None or line.gain is None else _signed(line.gain))
        rows.append(row)
    header = ["changed", "against", MEAN, "gain", PNEUMONIA, "gain"]
    return markdown_table(header, rows)


def _draws(path: Path, min_positives: int) -> dict[str, FloatArray]:
    """Each figure of the sample itself, then of each resample of its patients."""
    with np.load(path) as answers:
        logits, targets = answers["logits"], answers["targets"]
        patients, sources = answers["patients"], answers["sources"]
    weights = patient_weights(patients.tolist(), _RESAMPLES, _SEED)
    lines: Weights = np.concatenate([np.ones((1, len(targets)), dtype=np.int64), weights])
    enough = [i for i in range(len(LABELS)) if targets[:, i].sum() >= min_positives]
    areas = [aurocs(targets[:, i], logits[:, i], lines) for i in enough or range(len(LABELS))]
    figures = {MEAN: np.asarray(np.nanmean(areas, axis=0), dtype=np.float64)}
    large: npt.NDArray[np.bool_] = sources == "large"
    column = LABELS.index(Finding.PNEUMONIA)
    if targets[large, column].sum() >= min_positives:
        figures[PNEUMONIA] = aurocs(targets[large, column], logits[large, column], lines[:, large])
    return figures


def _interval(draws: FloatArray) -> Interval:
    return interval_of(float(draws[0]), draws[1:])


def _signed(gain: Interval) -> str:
    return f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


def _csv_line(line: Line) -> list[str]:
    values = [line.value.value, line.value.low, line.value.high]
    values += [] if line.gain is None else [line.gain.value, line.gain.low, line.gain.high]
    numbers = [f"{value:.4f}" for value in values]
    return [line.arm, line.says, line.against or "", line.figure, *numbers]


def _draw(lines: list[Line], target: Path) -> None:
    """Gain over the compared arm, one bar of uncertainty a line."""
    figure = Figure(figsize=(10, 0.45 * max(4, len(lines)) + 1), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, (MEAN, PNEUMONIA), strict=True):
        shown = [line for line in lines if line.figure == name][::-1]
        gains = [line.gain for line in shown if line.gain is not None]
        values = np.array([gain.value for gain in gains])
        low = values - [gain.low for gain in gains]
        high = np.array([gain.high for gain in gains]) - values
        axes.errorbar(values, range(len(gains)), xerr=[low, high], fmt="o", capsize=3)
        axes.axvline(0, color="0.6", linewidth=0.8)
        axes.set_yticks(range(len(shown)), [f"{x.says}\n(against {x.against})" for x in shown])
        axes.set_xlabel(f"gain in {name}")
    figure.savefig(target, dpi=120)
