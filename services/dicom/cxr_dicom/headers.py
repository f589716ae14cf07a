"""Headers of instances that others wrote: read in bounded memory, whatever is in them.

A deflated data set may inflate to a thousand times its size, and a damaged one makes the library
raise what it likes. Whoever reads here gets a header, or one kind of error.
"""

import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pydicom.valuerep import PersonName

_PREAMBLE_BYTES, _MARK = 128, b"DICM"
_META_GROUP = 0x0002
_PIXEL_DATA = 0x7FE00010
# A radiograph's header has some kilobytes, with tables and an icon less than one megabyte.
_MOST_INFLATED_BYTES = 8 << 20


class Unreadable(ValueError):
    """It is no DICOM instance, or a damaged one; a sentence."""


def read_header(source: BinaryIO, *keywords: str) -> Dataset:
    """File meta information and the elements before the pixels; all, or those of `keywords`.

    Raises:
        Unreadable: no header can be made of it.
        OSError: `source` cannot be read.
    """
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in keywords]
    try:
        meta = _meta(source)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            source.seek(0)
            return dcmread(source, stop_before_pixels=True, specific_tags=tags or None)
        inflated = _inflated(source.read(), _MOST_INFLATED_BYTES)
        header = read_dataset(
            inflated, False, True, stop_when=_is_pixels, specific_tags=tags or None
        )
        header.file_meta = FileMetaDataset(meta)
    except OSError:
        raise
    except Exception as error:
        raise Unreadable(f"It cannot be read as DICOM: {type(error).__name__}.") from error
    return header


def header_of(path: Path, *keywords: str) -> Dataset:
    """As `read_header`, of a file."""
    with path.open("rb") as file:
        return read_header(file, *keywords)


def text_of(header: Dataset, keyword: str) -> str:
    """A text of a header, names included, without padding; empty where it is not there.

    Raises:
        Unreadable: what is there is no text.
    """
    try:
        value = header.get(keyword)
        if isinstance(value, PersonName):
            value = value.decode()
    except Exception as error:
        raise Unreadable(f"Its {keyword} cannot be read: {type(error).__name__}.") from error
    return str(value or "").strip(" \0")


def read_file(path: Path, most_bytes: int) -> Dataset:
    """A whole file, pixels included.

    Args:
        path: the file.
        most_bytes: that a deflated data set may inflate to.

    Raises:
        Unreadable: it is damaged, or inflates to more.
        OSError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            if _meta(file).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                _inflated(file.read(), most_bytes, whole=True)
        return dcmread(path)
    except OSError:
        raise
    except Exception as error:
        raise Unreadable(f"It cannot be read as DICOM: {type(error).__name__}.") from error


def _meta(source: BinaryIO) -> Dataset:
    source.seek(_PREAMBLE_BYTES)
    if source.read(len(_MARK)) != _MARK:
        raise ValueError("no DICOM file")
    return read_dataset(source, False, True, stop_when=_is_behind_meta)


def _inflated(deflated: bytes, most_bytes: int, *, whole: bool = False) -> BytesIO:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, most_bytes)
    if whole and inflater.unconsumed_tail:
        raise ValueError("it inflates to too much")
    return BytesIO(inflated)


def _is_behind_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != _META_GROUP


def _is_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag >= _PIXEL_DATA)
