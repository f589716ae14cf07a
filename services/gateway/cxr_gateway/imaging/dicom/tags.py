"""Elements of a DICOM data set, read with their tag named in every complaint."""

import math
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxr_gateway.imaging.decoding import plain
from cxr_serving.errors import Unprocessable

_MAX_TEXT_CHARACTERS = 64


def tag_name(keyword: str) -> str:
    """`Rows (0028,0010)`."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def integer(ds: Dataset, keyword: str, default: int | None = None) -> int:
    """A single integer; Unprocessable if it is malformed, or missing without a default."""
    value = _value(ds, keyword)
    if value is None:
        if default is None:
            raise Unprocessable(f"The DICOM file lacks {tag_name(keyword)}.")
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unprocessable(
            f"The DICOM file's {tag_name(keyword)} is no number: {plain(value)}."
        ) from error


def real(ds: Dataset, keyword: str) -> float | None:
    """The first of one or more decimal numbers; None if missing or not a finite number."""
    value = _value(ds, keyword)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text(ds: Dataset, keyword: str) -> str | None:
    """The first value as one printable line of at most 64 characters; None if missing or empty."""
    value = _value(ds, keyword)
    if value is None:
        return None
    line = "".join(c if c.isprintable() else " " for c in str(value))
    line = " ".join(line.split())
    return line[:_MAX_TEXT_CHARACTERS].rstrip() or None


def code_meaning(ds: Dataset, keyword: str) -> str | None:
    """The meaning of the first code of a code sequence; None if missing."""
    items = _value(ds, keyword, first=False)
    try:
        return text(items[0], "CodeMeaning")
    except (TypeError, IndexError, AttributeError):
        return None


def _value(ds: Dataset, keyword: str, *, first: bool = True) -> Any:
    """The element's value, or the first of several; None if it is missing or empty.

    pydicom converts on access and raises whatever the conversion raises; then the raw value
    stands in, which no number and no date will be made of.
    """
    try:
        value = ds.get(keyword)
    except Exception:
        value = repr(ds.get_item(keyword))
    if first and isinstance(value, list | tuple | MultiValue):
        value = value[0] if value else None
    return None if value is None or value == "" else value
