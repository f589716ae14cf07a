"""The rows of a detector whose boxes were joined with a classifier's opinion, where there are any.

They come from the CSVs that `python -m cxr_training.joining fit` wrote: `joining.csv` in its folder
of results, and in the folders below it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import Interval
from cxr_training.joining.fitting import ANNOTATED
from cxr_training.joining.judging import ALONE, BASELINE, FROCS, MAP50
from cxr_training.joining.report import CSV_NAME, DETECTOR, SHIPPED, WEIGHTS

FIGURES = (MAP50, *FROCS)


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """A detector under one form of joining, on annotated films and known classes."""

    detector: str
    weights: str
    """The first digits of the detector's sha256."""
    classifier: str
    form: str
    is_shipped: bool
    figures: dict[str, Interval]


def read_joined(folder: Path) -> list[JoinedRow]:
    """Of each detector, the row without joining and that of one form.

    The form is the one that is shipped; where none is, the one with the best mAP50 of those that
    ask the classifier, which the rule found not to be worth it.
    """
    rows: list[JoinedRow] = []
    for path in sorted([*folder.glob(CSV_NAME), *folder.glob(f"*/{CSV_NAME}")]):
        with path.open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        if lines and DETECTOR in lines[0]:
            rows += _chosen(lines)
    return rows


def of_detector(rows: Iterable[JoinedRow], name: str, sha256: str) -> list[JoinedRow]:
    """Those that were made with these very weights."""
    return [row for row in rows if row.detector == name and sha256.startswith(row.weights)]


def _chosen(lines: list[dict[str, str]]) -> list[JoinedRow]:
    forms: dict[str, dict[str, Interval]] = {}
    for line in lines:
        form, _, films = line["of"].partition(", ")
        if films == ANNOTATED and line["figure"] in FIGURES:
            numbers = {key: float(line[key]) for key in ("value", "low", "high")}
            forms.setdefault(form, {})[line["figure"]] = Interval(**numbers)
    shipped = lines[0][SHIPPED]
    joined = [form for form in forms if form not in ALONE]
    form = shipped
    if shipped == BASELINE:
        form = max(joined, key=lambda name: forms[name][MAP50].value)
    return [
        JoinedRow(
            detector=lines[0][DETECTOR],
            weights=lines[0][WEIGHTS],
            classifier=lines[0]["classifier"],
            form=name,
            is_shipped=name == shipped,
            figures=forms[name],
        )
        for name in (BASELINE, form)
    ]
