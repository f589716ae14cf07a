"""Elements of a DICOM data set, read with their tag named in every complaint.

Every number and every text of a file comes through here, so that one odd optional element neither
refuses a radiograph nor reaches a client as a library's exception.
"""

import math
import re
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.decoding import plain

_MAX_CODE_CHARACTERS = 64
# Three groups of a person name, each of 64 characters, or a long text (LO) many times over. What
# is longer is not cut, because half an identifier may be another patient's.
_MAX_TEXT_CHARACTERS = 512
# What CS allows beside letters outside of ASCII: a writer used the data set's own character set.
# Code extensions (ISO/IEC 2022) that the decoder of the character set left in.
_ESCAPES = re.compile(r"\x1b[\x20-\x2f]+[\x30-\x7e]")
_TEXT_DELIMITERS = set(b"\t\n\f\r\\")


def tag_name(keyword: str) -> str:
    """`Rows (0028,0010)`."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def integer(ds: Dataset, keyword: str, default: int | None = None) -> int:
    """A single integer; Unprocessable if it is malformed, or missing without a default."""
    value = _first(_value(ds, keyword))
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
    return _finite(_first(_value(ds, keyword)))


def reals(ds: Dataset, keyword: str) -> list[float] | None:
    """All decimal numbers of an element; None if it is missing, or one of them is no number."""
    value = _value(ds, keyword)
    values = [*value] if isinstance(value, list | tuple | MultiValue) else [value]
    numbers = [_finite(one) for one in values]
    return [one for one in numbers if one is not None] if None not in numbers else None


def is_present(ds: Dataset, keyword: str) -> bool:
    """Whether the element is there and not empty, whatever it holds."""
    return _value(ds, keyword) is not None


def code_string(ds: Dataset, keyword: str) -> str | None:
    """The first value as one printable line of at most 64 characters; None if missing or empty.

    For coded terms and for display. Letters outside of ASCII, which a code string may not have,
    are read in the data set's own character set: that is what their writers meant.
    """
    value = _first(_value(ds, keyword))
    if value is None:
        return None
    return _line(_in_own_letters(str(value), ds))[:_MAX_CODE_CHARACTERS].rstrip() or None


def whole_text(ds: Dataset, keyword: str) -> str | None:
    r"""The whole value as one printable line; None if missing, empty or too long to be one.

    Several values keep the backslash between them: an identifier is never half of itself.
    """
    value = _value(ds, keyword)
    if isinstance(value, list | tuple | MultiValue):
        value = "\\".join(map(str, value))
    line = "" if value is None else _line(str(value))
    return line if 0 < len(line) <= _MAX_TEXT_CHARACTERS else None


def identifier(ds: Dataset, keyword: str) -> str | None:
    r"""The whole value exactly as it is stored, without its padding; None if it cannot be told.

    It is never changed, for then it might be another patient's: several values keep the backslash
    between them, and one with a control character, or too long to be one, is not told.
    """
    value = _value(ds, keyword)
    if isinstance(value, list | tuple | MultiValue):
        value = "\\".join(map(str, value))
    text = "" if value is None else str(value).strip(" \0")
    is_told = 0 < len(text) <= _MAX_TEXT_CHARACTERS and text.isprintable()
    return text if is_told else None


def items(ds: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none if it is missing, empty or no sequence."""
    value = _value(ds, keyword)
    try:
        return [item for item in value if isinstance(item, Dataset)]
    except TypeError:
        return []


def _value(ds: Dataset, keyword: str) -> Any:
    """The element's value; None if it is missing or empty.

    pydicom converts on access and raises whatever the conversion raises; then the raw value
    stands in, which no number and no date will be made of.
    """
    try:
        value = ds.get(keyword)
    except Exception:
        value = repr(ds.get_item(keyword))
    if isinstance(value, list | tuple | MultiValue) and not value:
        return None
    return None if value is None or value == "" else value


def _first(value: Any) -> Any:
    if isinstance(value, list | tuple | MultiValue):
        value = value[0]
    return None if value is None or value == "" else value


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _line(value: str) -> str:
    value = _ESCAPES.sub("", value)
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


def _in_own_letters(value: str, ds: Dataset) -> str:
    """Pydicom reads code strings as Latin-1; the same bytes in the data set's character set."""
    if value.isascii():
        return value
    try:
        encodings = convert_encodings(ds.get("SpecificCharacterSet") or "ISO_IR 6")
        return decode_bytes(value.encode("latin-1"), encodings, _TEXT_DELIMITERS)
    except Exception:
        return value
