"""Curves of a run as a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from cxr_training.runs import read_metrics


def draw_curves(metrics: Path, target: Path) -> None:
    """Losses and validation AUROC by epoch, from `metrics.jsonl`, as a PNG."""
    rows = read_metrics(metrics)
    epochs = [row["epoch"] for row in rows]
    # A Figure of its own, without pyplot, needs no display and leaves no global state.
    figure = Figure(figsize=(10, 4), layout="constrained")
    losses, areas = figure.subplots(1, 2)
    losses.plot(epochs, [row["train_loss"] for row in rows], label="training, augmented")
    losses.plot(epochs, [row["val_loss"] for row in rows], label="validation, averaged weights")
    losses.set(xlabel="epoch", ylabel="binary cross-entropy")
    losses.legend()
    for label in rows[-1]["val_auroc"] if rows else ():
        values = [row["val_auroc"][label] for row in rows]
        areas.plot(epochs, values, color="0.75", linewidth=0.8)
    areas.plot(epochs, [row["val_auroc_mean"] for row in rows], label="mean", linewidth=2)
    areas.set(xlabel="epoch", ylabel="validation AUROC")
    areas.legend()
    figure.savefig(target, dpi=120)
