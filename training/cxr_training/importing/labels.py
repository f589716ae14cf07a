"""Which outputs of a foreign network are our fourteen findings, and where each one is positive."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from cxr_contracts import Finding, LabelSpec
from cxr_contracts.findings import parse_finding
from cxr_training.data.errors import DataError
from cxr_training.importing import ModelImportError

NO_OPERATING_POINT = "none given: 0.5"
_COLUMNS = {"label", "threshold", "slope", "intercept"}
Finite = Annotated[float, Field(allow_inf_nan=False)]


@checked_dataclass(frozen=True)
class Output:
    """One output of a network, in the order of its head.

    `label` is empty for an output without a meaning. `threshold` is a probability, after
    sigmoid(slope * logit + intercept).
    """

    label: str
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    slope: Finite = 1.0
    intercept: Finite = 0.0


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
            finding = parse_finding(output.label)
        except ValueError:
            dropped += [output.label] if output.label else []
            continue
        if finding in rows:
            raise ModelImportError(f"{source} names {finding.value} twice")
        rows[finding] = row
    missing = [finding.value for finding in Finding if finding not in rows]
    if missing:
        raise ModelImportError(
            f"{source} has no output for {', '.join(missing)}: a classifier needs all "
            f"{len(Finding)} findings"
        )
    chosen = {finding: outputs[rows[finding]] for finding in Finding}
    bare = [finding.value for finding, output in chosen.items() if output.threshold is None]
    if bare and len(bare) < len(chosen):
        raise ModelImportError(f"{source} gives no threshold for {', '.join(bare)}")
    labels = [
        LabelSpec(
            name=finding.value,
            threshold=0.5 if output.threshold is None else output.threshold,
            threshold_rule=NO_OPERATING_POINT if output.threshold is None else rule,
            slope=output.slope,
            intercept=output.intercept,
        )
        for finding, output in chosen.items()
    ]
    return Selection([rows[finding] for finding in Finding], labels, dropped)


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


def _output(path: Path, line: int, row: dict[str, str]) -> Output:
    if None in row:
        raise DataError(path, "the line has more columns than the header", line=line)
    cells = {column: (text or "").strip() for column, text in row.items()}
    # Pydantic reads the figures out of the texts.
    given: dict[str, Any] = {column: text for column, text in cells.items() if text}
    try:
        return Output(**{"label": "", **given})
    except ValidationError as error:
        wrong = error.errors()[0]
        detail = f"{wrong['loc'][0]} {wrong['input']!r}: {wrong['msg']}"
        raise DataError(path, detail, line=line) from error
