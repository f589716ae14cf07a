"""Pictures of the CSVs. A Figure of its own, without pyplot, needs no display."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_training.detector.judging.table import Results

_DPI = 110
_COLUMNS = 5
# Panels of the forest plot and of the FROC curves: what is judged, and how to head it.
GROUNDS = (
    ("own", "each on its own boxes and regions"),
    ("boxes=nih/classes=shared", "NIH's boxes, six regions"),
    ("boxes=chestx-det/classes=shared", "ChestX-Det's boxes, six regions"),
    ("boxes=both/classes=shared", "both, six regions"),
)


def draw_forest(results: Results, target: Path) -> None:
    """mAP50 of each model with its interval: on its own ground and on the common ones."""
    models = [line.model for line in results.models]
    figure = Figure(figsize=(13, 1.4 + 0.35 * len(models)), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(GROUNDS), sharey=True)
    for axes, (subset, heading) in zip(panels, GROUNDS, strict=True):
        own = subset == "own"
        name, where = ("map50", "all") if own else ("map50_known", subset)
        for place, model in enumerate(models):
            row = results.row(model, name, where)
            if row is None:
                axes.text(0, place, "does not know them all", va="center", fontsize=7)
                continue
            value, low, high = row.result.value, row.result.low, row.result.high
            arms = [[value - low], [high - value]]
            axes.errorbar([value], [place], xerr=arms, fmt="o", color="C0", capsize=3)
        axes.set_title(heading, fontsize=9)
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("mAP50" if own else "mAP50, known classes", fontsize=8)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    figure.savefig(target, dpi=_DPI)


def draw_froc(points: Sequence[dict[str, str]], target: Path) -> None:
    """The share of boxes that is found against the false boxes an image, of all models."""
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(GROUNDS), sharey=True)
    models = list(dict.fromkeys(point["model"] for point in points))
    for axes, (on, heading) in zip(panels, GROUNDS, strict=True):
        for number, model in enumerate(models):
            chosen = [point for point in points if (point["model"], point["on"]) == (model, on)]
            axes.plot(
                [float(point["false_boxes"]) for point in chosen],
                [float(point["sensitivity"]) for point in chosen],
                color=f"C{number}",
                label=model,
            )
        axes.set_xscale("log")
        axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4, 8], ["0.1", "0.25", "0.5", "1", "2", "4", "8"])
        axes.minorticks_off()
        axes.set_title(heading, fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("boxes found (IoU 0.5)")
    figure.supxlabel("false boxes an image", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside right upper")
    figure.savefig(target, dpi=_DPI)


def draw_precision_recall(
    points: Sequence[dict[str, str]], results: Results, model: str, target: Path
) -> None:
    """A panel for each region that `model` knows: precision against recall at IoU 0.5."""
    [line] = [line for line in results.models if line.model == model]
    regions = line.regions.split()
    rows = -(-len(regions) // _COLUMNS)
    figure = Figure(figsize=(13, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(regions) :]:
        axes.set_axis_off()
    for region, axes in zip(regions, panels, strict=False):
        chosen = [point for point in points if point["region"] == region]
        recall = [float(point["recall"]) for point in chosen]
        precision = [float(point["precision"]) for point in chosen]
        axes.plot(recall, precision, marker="." if len(chosen) == 1 else None)
        row = results.row(model, "ap50", region)
        said = f"AP50 {row.result.value:.3f}, {row.n_positive} boxes" if row else "no box"
        axes.set_title(f"{region.replace('_', ' ')}\n{said}", fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
    figure.supxlabel("recall")
    figure.supylabel(f"precision, {model}")
    figure.savefig(target, dpi=_DPI)
