"""Pictures of a judgement. A Figure of its own, without pyplot, needs no display."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_contracts import Interval
from cxr_training.classifier.answers import SUBGROUP_KINDS, Answers
from cxr_training.classifier.decisions import Decisions
from cxr_training.classifier.reliability import ReliabilityBin
from cxr_training.classifier.samples import LABELS
from cxr_training.classifier.tables import Figures
from cxr_training.metrics.classification import roc_points

_DPI = 110
_MARK = "tab:red"
_GAPS = (
    ("auroc_gap", "mean AUROC"),
    ("sensitivity_gap", "mean sensitivity"),
    ("specificity_gap", "mean specificity"),
)


def draw_reliability(bins: Sequence[ReliabilityBin], target: Path) -> None:
    """For each finding, how often it was there against the probability that was given."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    for label, axes in _grid(figure):
        of_label = [one for one in bins if one.label == label]
        if not of_label:
            continue
        given = np.array([one.probability for one in of_label])
        seen = [one.frequency for one in of_label]
        axes.errorbar(
            given, [one.value for one in seen], yerr=_arms(seen), fmt="o-", markersize=3, capsize=2
        )
        # Rare findings live near zero: each panel has its own scale, the same on both axes.
        end = 1.05 * max(given.max(), *(one.high for one in seen), 1e-3)
        axes.plot([0, end], [0, end], color="0.6", linewidth=0.8)
        axes.set(xlim=(0, end), ylim=(0, end), title=label)
    figure.supxlabel("probability given")
    figure.supylabel("share that has the finding, 95% interval")
    figure.savefig(target, dpi=_DPI)


def draw_operating_points(
    answers: Answers, decisions: Decisions, figures: Figures, folder: Path
) -> None:
    """`operating_points.png`: ROC curves with the shipped point and its interval both ways."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    for column, (label, axes) in enumerate(_grid(figure)):
        targets = answers.targets[:, column]
        _, sensitivity, specificity = roc_points(targets, answers.logits[:, column])
        # From the point where nothing is called, which is no score that occurs.
        ends = np.r_[1 - specificity, 0.0], np.r_[sensitivity, 0.0]
        axes.plot(*ends, linewidth=1.2)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        found = figures.row("sensitivity", label)
        spared = figures.row("specificity", label)
        if found is not None and spared is not None:
            false = 1 - spared.result.value
            right, left = 1 - spared.result.low, 1 - spared.result.high
            axes.errorbar(
                [false],
                [found.result.value],
                xerr=[[max(false - left, 0)], [max(right - false, 0)]],
                yerr=_arms([found.result]),
                fmt="o",
                color=_MARK,
                markersize=4,
                capsize=2,
            )
        rule = decisions.labels[column].threshold_rule
        # A little beyond the square, so that a mark on its edge is seen whole.
        axes.set(
            xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=f"{label}, {int(targets.sum())} positive"
        )
        axes.text(0.97, 0.05, rule, ha="right", fontsize=8)
    figure.supxlabel("1 - specificity")
    figure.supylabel("sensitivity; the mark is the shipped operating point, 95% intervals")
    figure.savefig(folder / "operating_points.png", dpi=_DPI)


def draw_subgroups(figures: Figures, target: Path) -> None:
    """The gaps of each sex, age band and view to the same findings over all images."""
    groups = [group for kind in SUBGROUP_KINDS for group in figures.subgroups(kind)]
    figure = Figure(figsize=(12, 0.4 * max(4, len(groups)) + 1), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(_GAPS), sharey=True)
    for axes, (name, shown) in zip(panels, _GAPS, strict=True):
        for place, group in enumerate(reversed(groups)):
            row = figures.row(name, group)
            if row is not None:
                result = row.result
                axes.errorbar(
                    [result.value], [place], xerr=_arms([result]), fmt="o", color="C0", capsize=3
                )
            else:
                axes.text(0, place, "too few positives", ha="center", va="center", fontsize=8)
        axes.axvline(0, color="0.6", linewidth=0.8)
        axes.set_yticks(range(len(groups)), groups[::-1])
        axes.set_xlabel(f"{shown}, less that over all images")
    figure.savefig(target, dpi=_DPI)


def _grid(figure: Figure) -> Iterator[tuple[str, Axes]]:
    """A panel for each of the fourteen findings, the last row's places left over blank."""
    panels = figure.subplots(3, 5).ravel()
    for axes in panels[len(LABELS) :]:
        axes.set_axis_off()
    for label, axes in zip(LABELS, panels, strict=False):
        axes.tick_params(labelsize=7)
        yield label.value, axes


def _arms(results: Sequence[Interval]) -> tuple[list[float], list[float]]:
    """How far each interval reaches below and above its value."""
    below = [result.value - result.low for result in results]
    return below, [result.high - result.value for result in results]
