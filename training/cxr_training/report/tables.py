"""Figures as rows of a manifest and as text; how two measurements of them differ."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cxr_contracts import Interval, MetricRow


def metric_row(
    name: str,
    subset: str,
    result: Interval | float | None,
    *,
    n: int,
    n_positive: int | None,
    split: str = "validation",
    digits: int | None = 4,
) -> list[MetricRow]:
    """One row, or none where the figure is not defined; a bare figure is its own interval.

    `digits` of the figure are kept; None: all.
    """
    if result is None or (isinstance(result, float) and np.isnan(result)):
        return []
    if not isinstance(result, Interval):
        result = Interval(value=result, low=result, high=result)
    if digits is not None:
        kept = {key: round(value, digits) for key, value in result.model_dump().items()}
        result = Interval(**kept)
    return [
        MetricRow(name=name, subset=subset, split=split, result=result, n=n, n_positive=n_positive)
    ]


def of_split(rows: Iterable[MetricRow], split: str) -> list[MetricRow]:
    """The figures of a split's patients."""
    return [row for row in rows if row.split == split]


def differing_figures(
    published: list[MetricRow], measured: list[MetricRow], tolerance: float
) -> list[str]:
    """What was measured otherwise than it was published, a sentence each; empty if nothing was.

    Args:
        published: rows of a manifest.
        measured: the same figures, measured again.
        tolerance: the largest difference of a value or of an end of its interval that is let pass.
    """
    again = {(row.name, row.subset, row.split): row for row in measured}
    sentences = []
    for row in published:
        what = f"{row.name} of {row.subset}"
        found = again.pop((row.name, row.subset, row.split), None)
        if found is None:
            sentences.append(f"{what}: published, but not measured")
            continue
        gaps = [
            abs(getattr(row.result, end) - getattr(found.result, end))
            for end in ("value", "low", "high")
        ]
        if (row.n, row.n_positive) != (found.n, found.n_positive):
            sentences.append(
                f"{what}: published of {row.n} ({row.n_positive}), "
                f"measured of {found.n} ({found.n_positive})"
            )
        elif not max(gaps) <= tolerance:
            sentences.append(
                f"{what}: published {format_interval(row.result, 4)}, "
                f"measured {format_interval(found.result, 4)}"
            )
    sentences += [f"{name} of {subset}: measured, but not published" for name, subset, _ in again]
    return sentences


def cells_of(result: Interval) -> list[str]:
    """Figure and ends of its interval, as a CSV has them."""
    return [f"{end:.4f}" for end in (result.value, result.low, result.high)]


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """A table as CSV."""
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *lines])


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_interval(result: Interval, digits: int = 3) -> str:
    """E.g. `0.812 (0.780 to 0.841)`; the figure alone where it carries no interval."""
    value = f"{result.value:.{digits}f}"
    if result.low == result.high:
        return value
    return f"{value} ({result.low:.{digits}f} to {result.high:.{digits}f})"


def format_gap(result: Interval) -> str:
    """A difference, e.g. `-0.012 (-0.030 to +0.008)`."""
    return f"{result.value:+.3f} ({result.low:+.3f} to {result.high:+.3f})"


def format_percent(result: Interval) -> str:
    """E.g. `2% (1 to 3)`."""
    return f"{result.value:.0%} ({100 * result.low:.0f} to {100 * result.high:.0f})"
