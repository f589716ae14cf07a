"""The figures of every finished training as CSV rows, appended as they come."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from io import StringIO
from pathlib import Path

import numpy as np

from cxr_gan.errors import GanError
from cxr_gan.study.answers import Answers
from cxr_gan.study.rare import RareLabels
from cxr_training.classifier.samples import LABELS, UNJUDGED
from cxr_training.metrics.classification import auroc

RUNS_CSV = "runs.csv"
ALL, RARE = "mean", "mean of the rare"


@dataclass(frozen=True, slots=True)
class RunRow:
    """AUROC of a label, or a mean over labels, by one training on the validation images."""

    arm: str
    seed: int
    label: str
    auroc: float | None
    """None for a label without a positive, or without a negative."""
    n_positive: int
    n_images: int
    steps: int


COLUMNS = tuple(field.name for field in fields(RunRow))


def rows_of(arm: str, seed: int, answers: Answers, rare: RareLabels) -> list[RunRow]:
    """A row for each label, then the means over those that are judged."""
    rows: list[RunRow] = []
    areas: dict[str, float] = {}
    for column, label in enumerate(LABELS):
        judged = answers.targets[:, column] != UNJUDGED
        targets = answers.targets[judged, column]
        areas[label] = auroc(targets, answers.logits[judged, column])
        n, area = int(targets.sum()), areas[label]
        found = None if np.isnan(area) else area
        rows.append(RunRow(arm, seed, label, found, n, len(targets), answers.steps))
    for name, labels in ((ALL, rare.judged), (RARE, rare.judged_rare)):
        mean = float(np.mean([areas[label] for label in labels]))
        n = sum(rare.validation[label] for label in labels)
        rows.append(RunRow(arm, seed, name, mean, n, len(answers.targets), answers.steps))
    return rows


def write_rows(rows: Sequence[RunRow], folder: Path) -> None:
    """Write the CSV anew, with these rows alone."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{RUNS_CSV}.partial"
    partial.write_text(_text([COLUMNS]) + _text([_cells(row) for row in rows]), encoding="utf-8")
    partial.replace(folder / RUNS_CSV)


def append_rows(rows: Sequence[RunRow], folder: Path) -> None:
    """Add rows to the end of the CSV, in one piece."""
    with (folder / RUNS_CSV).open("a", encoding="utf-8") as stream:
        stream.write(_text([_cells(row) for row in rows]))


def read_rows(folder: Path) -> list[RunRow]:
    """All rows under `folder`; GanError for a broken file."""
    path = folder / RUNS_CSV
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise GanError(f"{path}: its columns are not {', '.join(COLUMNS)}")
            return [_row(line) for line in reader]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise GanError(f"{path} cannot be read: {error}") from error


def _row(line: dict[str, str]) -> RunRow:
    return RunRow(
        arm=line["arm"],
        seed=int(line["seed"]),
        label=line["label"],
        auroc=float(line["auroc"]) if line["auroc"] else None,
        n_positive=int(line["n_positive"]),
        n_images=int(line["n_images"]),
        steps=int(line["steps"]),
    )


def _cells(row: RunRow) -> list[str]:
    return [f"{x:.5f}" if isinstance(x, float) else str(x) for x in _filled(astuple(row))]


def _filled(values: tuple[str | int | float | None, ...]) -> list[str | int | float]:
    return ["" if value is None else value for value in values]


def _text(lines: Sequence[Sequence[str]]) -> str:
    stream = StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()
