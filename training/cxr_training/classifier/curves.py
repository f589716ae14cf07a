"""Curves of a run as a picture."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_training.runs import read_metrics


def draw_curves(metrics: Path, target: Path) -> None:
    """Losses, validation AUROC and learning rate by epoch, from `metrics.jsonl`, as a PNG.

    Drawn anew after each epoch, so it is replaced whole or not at all.
    """
    rows = read_metrics(metrics)
    epochs = [row["epoch"] for row in rows]
    # A Figure of its own, without pyplot, needs no display and leaves no global state.
    figure = Figure(figsize=(10, 7), layout="constrained")
    (losses, areas), (within, rate) = figure.subplots(2, 2)
    losses.plot(epochs, [row["train_loss"] for row in rows], ".-", label="training, augmented")
    losses.plot(epochs, [row["val_loss"] for row in rows], ".-", label="validation, averaged")
    losses.set(xlabel="epoch", ylabel="loss")
    losses.legend()
    _by_label(areas, rows, "val_auroc", named=False)
    areas.plot(epochs, [row["val_auroc_mean"] for row in rows], ".-", label="mean", linewidth=2)
    areas.set(xlabel="epoch", ylabel="validation AUROC")
    areas.legend()
    _by_label(within, rows, "val_auroc_within_source", named=True)
    within.set(xlabel="epoch", ylabel="validation AUROC within its sources")
    rate.plot(epochs, [row["learning_rate"] for row in rows], ".-")
    rate.set(xlabel="epoch", ylabel="learning rate after the epoch")
    partial = target.with_suffix(".partial")
    figure.savefig(partial, dpi=120, format="png")
    partial.rename(target)


def _by_label(axes: Axes, rows: list[dict[str, Any]], key: str, *, named: bool) -> None:
    labels = rows[-1][key] if rows else {}
    for label in labels:
        values = [row[key].get(label) for row in rows]
        # A label without an area in one epoch leaves a gap in its curve.
        areas = [float("nan") if value is None else value for value in values]
        epochs = [row["epoch"] for row in rows]
        if named:
            axes.plot(epochs, areas, ".-", label=label)
        else:
            axes.plot(epochs, areas, color="0.75", linewidth=0.8)
    if named and labels:
        axes.legend()
