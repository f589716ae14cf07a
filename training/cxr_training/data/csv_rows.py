"""The rows of a CSV file by column name, with the line that each stands on."""

import csv
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from cxr_training.data.errors import DataError, Refuse, at_once

Row = dict[str, str]
Parsed = TypeVar("Parsed")


def read_rows(
    path: Path,
    required: tuple[str, ...],
    *,
    allowed: Collection[str] | None = None,
    refuse: Refuse = at_once,
) -> Iterator[tuple[int, Row]]:
    """Line number and fields of each row that is not blank.

    Args:
        path: the file, UTF-8.
        required: columns that must be there.
        allowed: all the columns that may be there, and then each row has a field for every one of
            them; None lets others pass, and fields after the last required one may be missing.
        refuse: called for a row of another number of fields.

    Raises:
        DataError: the file cannot be read, is no UTF-8, has no such column or one not allowed.
    """
    line = 1
    try:
        # utf-8-sig: some mirrors of NIH's CSV begin with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            _check_header(path, header, required, allowed)
            fewest = 1 + max(header.index(column) for column in required)
            for values in reader:
                line = reader.line_num
                if not values:
                    continue
                if len(values) < fewest or (allowed is not None and len(values) != len(header)):
                    said = f"{len(values)} fields instead of {len(header)}"
                    refuse(DataError(path, said, line=line))
                    continue
                yield line, dict(zip(header, values, strict=False))
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"is no CSV in UTF-8: {error}", line=line) from error


def parsed_rows(
    path: Path,
    required: tuple[str, ...],
    parse: Callable[[int, Row], Parsed],
    *,
    allowed: Collection[str] | None = None,
    refuse: Refuse = at_once,
) -> list[Parsed]:
    """What `parse` makes of line number and fields of each row; the other arguments: `read_rows`.

    A ValueError of `parse` refuses the row, at its line.
    """
    parsed = []
    for line, row in read_rows(path, required, allowed=allowed, refuse=refuse):
        try:
            parsed.append(parse(line, row))
        except DataError as error:
            refuse(error)
        except ValueError as error:
            refuse(DataError(path, str(error), line=line))
    return parsed


def _check_header(
    path: Path, header: list[str], required: tuple[str, ...], allowed: Collection[str] | None
) -> None:
    # NIH's box list writes the bracketed header "Bbox [x,y,w,h]", which splits at its commas.
    missing = [column for column in required if column not in header]
    if missing:
        raise DataError(path, f"column {missing[0]!r} is missing", line=1)
    if allowed is None:
        return
    unknown = [column for column in header if column not in allowed]
    if unknown:
        known = ", ".join(allowed)
        raise DataError(path, f"column {unknown[0]!r} is none of {known}", line=1)
    twice = [column for column in header if header.count(column) > 1]
    if twice:
        raise DataError(path, f"column {twice[0]!r} stands there twice", line=1)
