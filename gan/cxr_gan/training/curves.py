"""Curves of a run as a picture."""

import io
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from cxr_gan.training.checkpoints import replace_file
from cxr_training.core.runs import read_metrics


def draw_curves(metrics: Path, target: Path) -> None:
    """Losses, logits, penalty and speed by images shown, from `metrics.jsonl`, as a PNG."""
    rows = read_metrics(metrics)
    shown = [row["images"] / 1000 for row in rows]
    # A Figure of its own, without pyplot, needs no display and leaves no global state.
    figure = Figure(figsize=(10, 7), layout="constrained")
    (losses, logits), (penalty, speed) = figure.subplots(2, 2)
    for axes, keys, says in (
        (losses, ("discriminator_loss", "generator_loss"), "loss"),
        (logits, ("real_logit", "made_logit"), "mean logit"),
        (penalty, ("penalty",), "gradient penalty, weighted"),
        (speed, ("images_per_s",), "images a second"),
    ):
        for key in keys:
            axes.plot(shown, [row[key] for row in rows], ".-", label=key.replace("_", " "))
        axes.set(xlabel="thousand images shown", ylabel=says)
        for before, after in pairwise(rows):
            if before["side_px"] != after["side_px"]:
                axes.axvline(before["images"] / 1000, color="0.8")
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format="png")
    replace_file(target, buffer.getvalue())
