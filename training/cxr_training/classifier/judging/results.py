"""The results folder of a judgement: CSVs first, then plots, then the page made of the CSVs."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from cxr_contracts import Interval, MetricRow
from cxr_training.classifier.answers import is_subgroup
from cxr_training.classifier.judging.judge import Judgement
from cxr_training.classifier.judging.maps import of_maps
from cxr_training.classifier.judging.page import PAGE, page
from cxr_training.classifier.judging.plots import (
    draw_operating_points,
    draw_reliability,
    draw_subgroups,
)
from cxr_training.classifier.localisation import write_localisation
from cxr_training.classifier.reliability import ReliabilityBin
from cxr_training.classifier.tables import Figures

FIGURES, SUBGROUPS = "figures.csv", "subgroups.csv"
RELIABILITY, OPERATING_POINTS = "reliability.csv", "operating_points.csv"
_FIGURE_COLUMNS = ("figure", "subset", "split", "value", "low", "high", "images", "positives")
_BIN_COLUMNS = ("finding", "bin", "images", "positives", "probability", "frequency", "low", "high")
_RATES = ("threshold", "sensitivity", "specificity")


def write_results(judgement: Judgement, folder: Path, differences: list[str] | None) -> None:
    """Write everything into `folder`; what other commands wrote there stays, and joins the page.

    Args:
        judgement: what was found.
        folder: made where it is missing.
        differences: from the manifest, as sentences; None where there was nothing to compare.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(judgement.rows, folder / FIGURES)
    of_subgroups = [row for row in judgement.rows if is_subgroup(row.subset)]
    write_figures(of_subgroups, folder / SUBGROUPS)
    _write(folder / RELIABILITY, _BIN_COLUMNS, (_bin_line(one) for one in judgement.bins))
    _write_operating_points(judgement, folder / OPERATING_POINTS)
    figures = Figures(judgement.rows)
    draw_reliability(judgement.bins, folder / "reliability.png")
    draw_operating_points(judgement.answers, judgement.decisions, figures, folder)
    draw_subgroups(figures, folder / "subgroups.png")
    maps = of_maps(judgement.rows)
    if maps:
        write_localisation(maps, folder)
    (folder / PAGE).write_text(
        page(
            judgement,
            read_figures(folder / FIGURES),
            _read_rules(folder / OPERATING_POINTS),
            folder,
            differences,
        )
    )


def write_figures(rows: Iterable[MetricRow], path: Path) -> None:
    """A line for each row."""
    _write(path, _FIGURE_COLUMNS, (_figure_line(row) for row in rows))


def read_figures(path: Path) -> list[MetricRow]:
    """What `write_figures` wrote."""
    with path.open(newline="") as stream:
        return [
            MetricRow(
                name=line["figure"],
                subset=line["subset"],
                split=line["split"],
                result=Interval(**{key: float(line[key]) for key in ("value", "low", "high")}),
                n=int(line["images"]),
                n_positive=int(line["positives"]) if line["positives"] else None,
            )
            for line in csv.DictReader(stream)
        ]


def _figure_line(row: MetricRow) -> list[str]:
    n_positive = "" if row.n_positive is None else str(row.n_positive)
    return [row.name, row.subset, row.split, *_numbers(row.result), str(row.n), n_positive]


def _bin_line(one: ReliabilityBin) -> list[str]:
    counts = [str(one.number), str(one.n), str(one.n_positive)]
    return [one.label, *counts, f"{one.probability:.4f}", *_numbers(one.frequency)]


def _write_operating_points(judgement: Judgement, path: Path) -> None:
    figures = Figures(judgement.rows)
    columns = ["finding", "rule", "images", "positives"]
    columns += [f"{name}{end}" for name in _RATES for end in ("", "_low", "_high")]
    lines = []
    for label in judgement.decisions.labels:
        row = figures.row("prevalence", label.name)
        line = [label.name, label.threshold_rule]
        line += ["", ""] if row is None else [str(row.n), str(row.n_positive)]
        for name in _RATES:
            found = figures.row(name, label.name)
            line += ["", "", ""] if found is None else _numbers(found.result)
        lines.append(line)
    _write(path, columns, lines)


def _read_rules(path: Path) -> dict[str, str]:
    with path.open(newline="") as stream:
        return {line["finding"]: line["rule"] for line in csv.DictReader(stream)}


def _numbers(result: Interval) -> list[str]:
    return [f"{x:.4f}" for x in (result.value, result.low, result.high)]


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
