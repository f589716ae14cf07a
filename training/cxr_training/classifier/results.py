"""The results folder of an evaluation: figures as CSV, plots, and a page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from cxr_contracts import Finding, Interval
from cxr_training.classifier.calibration import LEVELS_METHOD
from cxr_training.classifier.card import Figures, results
from cxr_training.classifier.evaluation import TOLERANCE, ModelEvaluation
from cxr_training.report.tables import cells_of, write_csv

PAGE, FIGURES = "README.md", "figures.csv"
RELIABILITY, OPERATING_POINTS = "reliability.png", "operating_points.png"
BINS = 10
_ACROSS = 5
_DPI = 110


def write_results(evaluated: ModelEvaluation, folder: Path) -> None:
    """Write everything into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = Figures(evaluated.rows, evaluated.split)
    header = ["figure", "subset", "split", "value", "low", "high", "images", "positives"]
    lines = (
        [row.name, row.subset, row.split, *cells_of(row.result), row.n, row.n_positive]
        for row in evaluated.rows
    )
    write_csv(folder / FIGURES, header, lines)
    _draw_reliability(evaluated, folder / RELIABILITY)
    _draw_operating_points(evaluated, figures, folder / OPERATING_POINTS)
    (folder / PAGE).write_text(_page(evaluated, figures, folder))


def _page(evaluated: ModelEvaluation, figures: Figures, folder: Path) -> str:
    manifest, rules = evaluated.manifest, evaluated.rules
    patients = len(np.unique(evaluated.predictions.patients))
    plots = {
        OPERATING_POINTS: "ROC curves with the point from which a finding is possible",
        RELIABILITY: "reliability of each finding",
        "curves.png": "losses and validation AUROC of the published run by epoch",
    }
    parts = [
        f"# {manifest.name}, version {manifest.version}, on {evaluated.split} patients",
        f"Written by `cxr classifier evaluate --model models/classifier/{manifest.name} "
        f"--split {evaluated.split} {evaluated.on}`: the published ONNX file, run as the service "
        f"runs it, on {len(evaluated.predictions)} images of {patients} {evaluated.split} "
        f"patients. `cxr classifier verify` measures again and compares with the manifest, up to "
        f"{TOLERANCE}.",
        f"- weights `{manifest.weights.sha256}`\n"
        f"- ONNX `{manifest.onnx.sha256}`\n"
        f"- split `{evaluated.split_sha256}`\n"
        f"- 95% intervals: {rules.evaluation.resamples} bootstrap resamples of the patients, seed "
        f"{rules.seed}",
        _how_decided(evaluated),
        *results(figures, evaluated.decisions.labels),
        "## Plots",
        f"Every figure, those of each finding in each subgroup included: [{FIGURES}]({FIGURES}).",
        *(f"![{shown}]({name})" for name, shown in plots.items() if (folder / name).exists()),
    ]
    return "\n\n".join(parts) + "\n"


def _how_decided(evaluated: ModelEvaluation) -> str:
    if evaluated.rules.fitted:
        return (
            f"{LEVELS_METHOD} In the table of findings, sensitivity and specificity of `possible` "
            "are cross-fitted: each image is decided by a calibration and a threshold of the other "
            "patients, which is why a mark can lie beside its curve."
        )
    if evaluated.manifest.extra.get("levels_split_sha256") == evaluated.split_sha256:
        return (
            "The calibration is the model's own. Its evidence levels were fitted to these very "
            "patients, so sensitivity and specificity flatter it."
        )
    return (
        "Calibration and thresholds are the model's own, evaluated as shipped: nothing was fitted "
        "on these patients. Whether its training saw them, this page cannot know."
    )


def _draw_reliability(evaluated: ModelEvaluation, target: Path) -> None:
    """For each finding, how often it was there against the probability that was given.

    Bins of equally many images: most findings are rare, and of equal widths one bin would hold
    nearly all.
    """
    figure = Figure(figsize=(13, 9), layout="constrained")
    for column, (label, axes) in enumerate(_grid(figure, evaluated.predictions.labels)):
        seen, given = calibration_curve(
            evaluated.predictions.targets[:, column],
            evaluated.decisions.probabilities[:, column],
            n_bins=BINS,
            strategy="quantile",
        )
        axes.plot(given, seen, "o-", markersize=3)
        # Rare findings live near zero: each panel has its own scale, the same on both axes.
        end = 1.05 * max(given.max(), seen.max(), 1e-3)
        axes.plot([0, end], [0, end], color="0.6", linewidth=0.8)
        axes.set(xlim=(0, end), ylim=(0, end), title=label)
    figure.supxlabel("probability given")
    figure.supylabel("share that has the finding")
    figure.savefig(target, dpi=_DPI)


def _draw_operating_points(evaluated: ModelEvaluation, figures: Figures, target: Path) -> None:
    """ROC curves with the point of `possible` and its interval both ways."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    for column, (label, axes) in enumerate(_grid(figure, evaluated.predictions.labels)):
        targets = evaluated.predictions.targets[:, column]
        if 0 < targets.sum() < len(targets):
            false_rate, found_rate, _ = roc_curve(targets, evaluated.predictions.logits[:, column])
            axes.plot(false_rate, found_rate, linewidth=1.2)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        found, spared = (figures.row(x, label) for x in ("sensitivity", "specificity"))
        if found is not None and spared is not None:
            below, above = _arms(spared.result)
            axes.errorbar(
                [1 - spared.result.value],
                [found.result.value],
                xerr=[above, below],
                yerr=_arms(found.result),
                fmt="o",
                color="tab:red",
                markersize=4,
                capsize=2,
            )
        # A little beyond the square, so that a mark on its edge is seen whole.
        axes.set(
            xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=f"{label}, {int(targets.sum())} positive"
        )
        rule = evaluated.decisions.labels[column].threshold_rule
        axes.text(0.97, 0.05, rule, ha="right", fontsize=8)
    figure.supxlabel("1 - specificity")
    figure.supylabel(
        "sensitivity; the mark is the point from which a finding is possible, 95% intervals"
    )
    figure.savefig(target, dpi=_DPI)


def _arms(result: Interval) -> tuple[list[float], list[float]]:
    """How far the interval reaches below and above its value."""
    return [result.value - result.low], [result.high - result.value]


def _grid(figure: Figure, labels: Sequence[Finding]) -> Iterator[tuple[str, Axes]]:
    """A panel for each finding, what is left over blank."""
    panels = figure.subplots(-(-len(labels) // _ACROSS), _ACROSS, squeeze=False).ravel()
    for axes in panels[len(labels) :]:
        axes.set_axis_off()
    for label, axes in zip(labels, panels, strict=False):
        axes.tick_params(labelsize=7)
        yield label.value, axes
