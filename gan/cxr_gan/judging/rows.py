"""The figures of every judged generator as one CSV, from which everything else is made."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from cxr_contracts import Interval
from cxr_gan.errors import GanError
from cxr_gan.published.manifest import JudgedFigure

CSV_NAME = "judging.csv"
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of a generator; empty numbers where nothing stands beside it."""

    model: str
    version: str
    weights: str
    """The first twelve digits of their sha256."""
    side_px: int
    extractor: str
    figure: str
    subset: str
    value: float
    low: float
    high: float
    n: int
    floor: float | None = None
    floor_low: float | None = None
    floor_high: float | None = None
    ceiling: float | None = None
    blurred: float | None = None

    @property
    def result(self) -> Interval:
        """Value and interval."""
        return Interval(value=self.value, low=self.low, high=self.high)

    @property
    def floor_interval(self) -> Interval | None:
        """The floor, where there is one."""
        if self.floor is None or self.floor_low is None or self.floor_high is None:
            return None
        return Interval(value=self.floor, low=self.floor_low, high=self.floor_high)

    def judged_figure(self) -> JudgedFigure:
        """As a manifest holds it."""
        return JudgedFigure(
            name=self.figure,
            subset=self.subset,
            result=self.result,
            n=self.n,
            floor=self.floor_interval,
            ceiling=self.ceiling,
            blurred=self.blurred,
        )


COLUMNS = tuple(field.name for field in fields(Row))
_NUMBERS = COLUMNS[COLUMNS.index("value") :]
_MAY_BE_EMPTY = COLUMNS[COLUMNS.index("floor") :]


def read_rows(results: Path) -> list[Row]:
    """All rows under `results`; none where nothing was judged. GanError for a broken file."""
    path = results / CSV_NAME
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise GanError(f"{path}: its columns are not {', '.join(COLUMNS)}")
            return [_row(line, path, reader.line_num) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GanError(f"{path} cannot be read: {error}") from error


def write_rows(rows: Sequence[Row], results: Path) -> None:
    """Put `rows` in the place of what the same model, or the same weights, had."""
    models, weights = {row.model for row in rows}, {row.weights for row in rows}
    kept = [
        row for row in read_rows(results) if row.model not in models and row.weights not in weights
    ]
    results.mkdir(parents=True, exist_ok=True)
    partial = results / f"{CSV_NAME}.partial"
    with partial.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in [*kept, *rows]:
            writer.writerow([_cell(value) for value in astuple(row)])
    partial.replace(results / CSV_NAME)


def differing(published: Sequence[Row], measured: Sequence[Row]) -> list[str]:
    """What was measured otherwise, a sentence each: by more than a quarter of its interval."""
    again = {(row.figure, row.subset): row for row in measured}
    sentences = []
    for row in published:
        what = f"{row.figure} {row.subset}".strip()
        found = again.pop((row.figure, row.subset), None)
        if found is None:
            sentences.append(f"{what}: published, but not measured")
        elif found.n != row.n:
            sentences.append(f"{what}: published of {row.n}, measured of {found.n}")
        else:
            allowed = (row.high - row.low) / 4 + 1e-3 * abs(row.value) + 1e-6
            if abs(found.value - row.value) > allowed:
                sentences.append(f"{what}: published {row.value:.4g}, measured {found.value:.4g}")
    sentences += [
        f"{' '.join(filter(None, figure))}: measured, but not published" for figure in again
    ]
    return sentences


def _row(line: dict[str, str], path: Path, number: int) -> Row:
    values: dict[str, str | int | float | None] = dict(line)
    try:
        for name in _NUMBERS:
            empty = name in _MAY_BE_EMPTY and not line[name]
            values[name] = None if empty else float(line[name])
        for name in ("n", "side_px"):
            values[name] = int(line[name])
    except (KeyError, TypeError, ValueError) as error:
        raise GanError(f"{path}:{number}: {error}") from error
    return Row(**values)  # type: ignore[arg-type]


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
