"""Pictures of the figures. None of them shows a radiograph."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_gan.judging.measures import (
    DIVERSITY,
    FRECHET,
    KERNEL,
    LINEAR_PROBE,
    PIXEL_PROBE,
    PRECISION,
    RECALL,
)
from cxr_gan.judging.memorisation import Nearness
from cxr_gan.judging.rows import Row

TITLES = {
    FRECHET: "Fréchet distance",
    KERNEL: "kernel distance",
    PRECISION: "precision",
    RECALL: "recall",
    DIVERSITY: "MS-SSIM of pairs",
    LINEAR_PROBE: "probe on features, accuracy",
    PIXEL_PROBE: "probe on pixels, accuracy",
}
_DPI = 110


def draw_figures(rows: Sequence[Row], target: Path) -> None:
    """A panel for each figure: each model with its interval, floor and ceiling as marks."""
    models = list(dict.fromkeys(row.model for row in rows))
    figure = Figure(figsize=(14, 1.6 + 0.5 * len(models) * 2), layout="constrained")
    panels = figure.subplots(2, 4, sharey=True).ravel()
    for panel, (name, title) in zip(panels, TITLES.items(), strict=False):
        _draw_panel(panel, [row for row in rows if row.figure == name], models)
        panel.set_title(title, fontsize=10)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].axis("off")
    panels[-1].legend(handles, labels, loc="center", frameon=False)
    figure.savefig(target, dpi=_DPI)


def _draw_panel(panel: Axes, rows: Sequence[Row], models: Sequence[str]) -> None:
    places = [models.index(row.model) for row in rows]
    marks = {"real, held out": "floor", "real, blurred": "blurred", "noise": "ceiling"}
    for (shown, column), mark in zip(marks.items(), "|v^", strict=True):
        values = [getattr(row, column) for row in rows]
        panel.plot(values, places, mark, color="0.45", markersize=9, label=shown)
    samples = [row.value for row in rows]
    errors = [[row.value - row.low for row in rows], [row.high - row.value for row in rows]]
    panel.errorbar(samples, places, xerr=errors, fmt="o", color="C0", label="samples")
    if rows and rows[0].figure in (FRECHET, KERNEL):
        panel.set_xscale("symlog", linthresh=max(1e-4, min(abs(row.floor or 1) for row in rows)))
    panel.grid(axis="x", alpha=0.3)


def draw_nearness(near: Mapping[str, tuple[Nearness, Nearness]], target: Path) -> None:
    """For each space, how near samples and held-out radiographs lie to training ones."""
    figure = Figure(figsize=(11, 3.2 * len(near)), layout="constrained")
    panels = figure.subplots(len(near), 2, squeeze=False)
    for line, (space, (samples, held_out)) in zip(panels, near.items(), strict=True):
        for panel, kind in zip(line, ("first", "relative"), strict=True):
            ours, theirs = getattr(samples, kind), getattr(held_out, kind)
            edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), 60)
            for values, label in ((theirs, "real, held out"), (ours, "samples")):
                panel.hist(values, edges, density=True, alpha=0.55, label=label)
            panel.axvline(float(np.percentile(theirs, 1)), color="0.3", linestyle=":")
            panel.set_yticks([])
            panel.set_xlabel(
                f"{space}: distance to the nearest training image"
                + (", over the fiftieth's" if kind == "relative" else "")
            )
        line[0].legend(frameon=False)
    figure.savefig(target, dpi=_DPI)
