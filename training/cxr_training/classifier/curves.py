"""Curves of a run as a plot."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_training.core.runs import read_metrics

_AVERAGED = "validation, averaged"
# Of the members, one after another; a run of one network has the first.
_STYLES = (".-", ".--", ".:", ".-.")


def draw_curves(files: Sequence[Path], target: Path) -> None:
    """Losses, validation AUROC and learning rate by epoch, from `metrics.jsonl`, as a PNG.

    Of several ensemble members' files, each in a style of its own. Drawn anew after each epoch,
    so it is replaced whole or not at all.
    """
    # A Figure of its own, without pyplot, needs no display and leaves no global state.
    figure = Figure(figsize=(10, 7), layout="constrained")
    (losses, areas), (within, rate) = figure.subplots(2, 2)
    for index, (file, style) in enumerate(zip(files, cycle(_STYLES), strict=False)):
        rows = read_metrics(file)
        epochs = [row["epoch"] for row in rows]
        of = f", member {index + 1}" if len(files) > 1 else ""
        for key, label in (("train_loss", "training, augmented"), ("val_loss", _AVERAGED)):
            losses.plot(epochs, [row[key] for row in rows], style, label=label + of)
        _by_label(areas, rows, "val_auroc")
        means = [row["val_auroc_mean"] for row in rows]
        areas.plot(epochs, means, style, label="mean" + of, linewidth=2)
        _by_label(within, rows, "val_auroc_within_source", style, of)
        rate.plot(epochs, [row["learning_rate"] for row in rows], style)
    losses.set(xlabel="epoch", ylabel="loss")
    areas.set(xlabel="epoch", ylabel="validation AUROC")
    within.set(xlabel="epoch", ylabel="validation AUROC within its sources")
    rate.set(xlabel="epoch", ylabel="learning rate after the epoch")
    for axes in (losses, areas, within):
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    partial = target.with_suffix(".partial")
    figure.savefig(partial, dpi=120, format="png")
    partial.rename(target)


def _by_label(
    axes: Axes, rows: list[dict[str, Any]], key: str, style: str = "", of: str = ""
) -> None:
    """A curve for each label: named, in a style of its own; without one, thin and grey."""
    labels = rows[-1][key] if rows else {}
    for label in labels:
        values = [row[key].get(label) for row in rows]
        # A label without an area in one epoch leaves a gap in its curve.
        areas = [float("nan") if value is None else value for value in values]
        epochs = [row["epoch"] for row in rows]
        if style:
            axes.plot(epochs, areas, style, label=label + of)
        else:
            axes.plot(epochs, areas, color="0.75", linewidth=0.8)
