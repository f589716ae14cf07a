"""The rows as CSV, as Markdown and as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_contracts import Finding, Interval, MetricRow
from cxr_training.classifier.localisation.boxes import Annotator
from cxr_training.classifier.localisation.rows import ALL, CALLED, MACRO, MISSED, subset_name
from cxr_training.classifier.localisation.scoring import IOU, IOU_LEVELS, POINTING, Pointer
from cxr_training.report.tables import format_interval, markdown_table

CSV_NAME, PICTURE_NAME = "localisation.csv", "localisation.png"
_COLUMNS = ("figure", "subset", "split", "value", "low", "high", "images", "boxes")
_SHOWN = {
    Pointer.CAM: "map",
    Pointer.PRIOR: "usual place",
    Pointer.CENTRE: "centre",
    Pointer.RANDOM: "random",
}
_GROUPS = {ALL: "all cases", MACRO: "mean over findings"}
_PARTS = {
    ALL: "all",
    f"{ALL}/boxes={Annotator.NIH.value}": "boxed by NIH",
    f"{ALL}/boxes={Annotator.CHESTXDET.value}": "boxed by ChestX-Det",
    f"{ALL}/{CALLED}": "called positive",
    f"{ALL}/{MISSED}": "missed",
}
_Rows = dict[tuple[str, str], MetricRow]


def write_localisation(rows: Sequence[MetricRow], folder: Path) -> None:
    """`localisation.csv` and `localisation.png` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / CSV_NAME).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in rows:
            numbers = (row.result.value, row.result.low, row.result.high)
            cells = [f"{number:.4f}" for number in numbers]
            writer.writerow([row.name, row.subset, row.split, *cells, row.n, row.n_positive])
    _draw(_by_name(rows), folder / PICTURE_NAME)


def localisation_table(rows: Sequence[MetricRow]) -> str:
    """Markdown: the pointing game and the IoU of each finding, then of the parts of the cases."""
    found = _by_name(rows)
    groups = _groups_of(found)
    return "\n\n".join(
        [
            "Pointing game: share of cases whose maximum lies in a box.",
            _pointer_table(found, POINTING, groups),
            "IoU of the thresholded map with the boxes, mean over the cases.",
            _pointer_table(found, IOU, groups),
            "Share of cases with at least this IoU; in brackets, of the usual place.",
            _levels_table(found, groups),
            "Parts of the cases.",
            _parts_table(found),
        ]
    )


def _by_name(rows: Sequence[MetricRow]) -> _Rows:
    return {(row.name, row.subset): row for row in rows}


def _groups_of(found: _Rows) -> dict[str, str]:
    """Subsets of the map's own rows, and how the reader is told of them."""
    findings = {finding.value: finding.value.replace("_", " ") for finding in Finding}
    return {
        group: shown for group, shown in (findings | _GROUPS).items() if (POINTING, group) in found
    }


def _pointer_table(found: _Rows, figure: str, groups: dict[str, str]) -> str:
    lines = [
        [shown, str(found[figure, group].n)]
        + [_cell(found, figure, subset_name(group, "", pointer)) for pointer in Pointer]
        for group, shown in groups.items()
    ]
    return markdown_table(["finding", "cases", *_SHOWN.values()], lines)


def _levels_table(found: _Rows, groups: dict[str, str]) -> str:
    lines = []
    for group, shown in groups.items():
        line = [shown]
        for level in IOU_LEVELS:
            name = f"{IOU}_{level:g}"
            prior = found[name, subset_name(group, "", Pointer.PRIOR)]
            line.append(f"{_cell(found, name, group)} [{prior.result.value:.3f}]")
        lines.append(line)
    return markdown_table(["finding", *(f"IoU ≥ {level:g}" for level in IOU_LEVELS)], lines)


def _parts_table(found: _Rows) -> str:
    lines = []
    for subset, shown in _PARTS.items():
        if (POINTING, subset) in found:
            prior = f"{subset}/baseline={Pointer.PRIOR.value}"
            cells = [
                _cell(found, figure, part) for figure in (POINTING, IOU) for part in (subset, prior)
            ]
            lines.append([shown, str(found[POINTING, subset].n), *cells])
    usual = _SHOWN[Pointer.PRIOR]
    header = ["cases", "n", "map points right", f"{usual} does", "map's IoU", f"{usual}'s IoU"]
    return markdown_table(header, lines)


def _cell(found: _Rows, figure: str, subset: str) -> str:
    return format_interval(found[figure, subset].result)


def _draw(found: _Rows, target: Path) -> None:
    """A line for each finding, a mark with its interval for each pointer; hit rate and IoU."""
    groups = _groups_of(found)
    figure = Figure(figsize=(11, 0.5 * max(4, len(groups)) + 1.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    labels = (
        "share of maxima in a box (pointing game)",
        "IoU of the thresholded map with the boxes",
    )
    for axes, name, label in zip(panels, (POINTING, IOU), labels, strict=True):
        for pointer in Pointer:
            rows = [found[name, subset_name(group, "", pointer)] for group in groups]
            _draw_pointer(axes, [row.result for row in rows], pointer)
        axes.set(xlabel=f"{label}, 95% interval", xlim=(0, None))
        axes.grid(axis="x", alpha=0.3)
    shown = [f"{shown} ({found[POINTING, group].n})" for group, shown in groups.items()]
    panels[0].set_yticks(range(len(groups)), shown)
    panels[0].invert_yaxis()
    panels[1].legend(loc="lower right", fontsize=8)
    figure.savefig(target, dpi=120)


def _draw_pointer(axes: Axes, results: Sequence[Interval], pointer: Pointer) -> None:
    place = list(Pointer).index(pointer)
    is_map = pointer is Pointer.CAM
    values = [result.value for result in results]
    axes.errorbar(
        values,
        # The four marks of a finding stand below each other around its line.
        [i + (place - 1.5) * 0.17 for i in range(len(results))],
        xerr=[
            [result.value - result.low for result in results],
            [result.high - result.value for result in results],
        ],
        fmt="o" if is_map else "|",
        markersize=5 if is_map else 8,
        color="C3" if is_map else f"{0.15 + 0.2 * place:.2f}",
        elinewidth=1.2,
        label=_SHOWN[pointer],
    )
