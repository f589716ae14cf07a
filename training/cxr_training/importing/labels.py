"""Which outputs of a foreign network are our fourteen findings, and where each one is positive."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_contracts import Finding, LabelSpec
from cxr_contracts.findings import parse_finding
from cxr_training.data.errors import DataError
from cxr_training.importing.errors import ModelImportError

NO_OPERATING_POINT = "none given: 0.5"
_COLUMNS = {"label", "threshold", "slope", "intercept"}


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a network, in the order of its head.

    `name` is empty for an output without a meaning. `threshold` is a probability, after
    sigmoid(slope * logit + intercept).
    """

    name: str
    threshold: float | None = None
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The outputs that are served: their rows in the head and their labels, in our order."""

    rows: list[int]
    labels: list[LabelSpec]
    dropped: list[str]


def select(outputs: Sequence[Output], source: str, rule: str) -> Selection:
    """Find the fourteen findings among `outputs`.

    Args:
        outputs: of the network, in its order.
        source: what names them, for the sentence that refuses them.
        rule: how the thresholds were chosen; with no threshold at all, each is 0.5.

    Raises:
        ModelImportError: a finding is missing, stands there twice, or alone lacks a threshold.
    """
    rows: dict[Finding, int] = {}
    dropped: list[str] = []
    for row, output in enumerate(outputs):
        try:
            finding = parse_finding(output.name)
        except ValueError:
            dropped += [output.name] if output.name else []
            continue
        if finding in rows:
            raise ModelImportError(f"{source} names {finding.value} twice")
        rows[finding] = row
    missing = [finding.value for finding in Finding if finding not in rows]
    if missing:
        raise ModelImportError(
            f"{source} has no output for {', '.join(missing)}, and a classifier answers all "
            f"{len(Finding)} findings: this network was not trained on {_them(missing)}"
        )
    chosen = {finding: outputs[rows[finding]] for finding in Finding}
    bare = [finding.value for finding, output in chosen.items() if output.threshold is None]
    if bare and len(bare) < len(chosen):
        raise ModelImportError(f"{source} gives no threshold for {', '.join(bare)}")
    return Selection(
        rows=[rows[finding] for finding in Finding],
        labels=[_label(finding, output, rule) for finding, output in chosen.items()],
        dropped=dropped,
    )


def read_labels(path: Path) -> list[Output]:
    """The outputs that a CSV names, a row each, in the order of the head.

    Columns: `label`, and where known `threshold`, `slope` and `intercept`. A label that is none
    of the fourteen is an output that is dropped; an empty one has no meaning.

    Raises:
        DataError: no such file, no column `label`, a column of another name, a figure that is
            none, or a threshold outside 0..1.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            if "label" not in columns or columns - _COLUMNS:
                raise DataError(
                    path,
                    "expected the column `label` and, where known, `threshold`, `slope` and "
                    f"`intercept`; found {', '.join(sorted(columns)) or 'nothing'}",
                    line=1,
                )
            return [_output(path, reader.line_num, row) for row in reader]
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"is not a CSV file ({error})") from error


def _output(path: Path, line: int, row: dict[str | Any, str | Any]) -> Output:
    if None in row:
        raise DataError(path, "the line has more columns than the header", line=line)

    def figure(column: str) -> float | None:
        text = (row.get(column) or "").strip()
        try:
            value = float(text) if text else None
        except ValueError as error:
            raise DataError(path, f"{column} {text!r} is not a number", line=line) from error
        if value is not None and not math.isfinite(value):
            raise DataError(path, f"{column} {text!r} is not finite", line=line)
        return value

    threshold, slope, intercept = figure("threshold"), figure("slope"), figure("intercept")
    if threshold is not None and not 0 <= threshold <= 1:
        raise DataError(path, f"threshold {threshold} is not a probability", line=line)
    return Output(
        name=(row["label"] or "").strip(),
        threshold=threshold,
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
    )


def _label(finding: Finding, output: Output, rule: str) -> LabelSpec:
    given = output.threshold is not None
    return LabelSpec(
        name=finding.value,
        threshold=output.threshold if output.threshold is not None else 0.5,
        threshold_rule=rule if given else NO_OPERATING_POINT,
        slope=output.slope,
        intercept=output.intercept,
    )


def _them(labels: list[str]) -> str:
    return "it" if len(labels) == 1 else "them"
