"""A DICOM file to a pydicom data set, with bounded work and memory.

pydicom parses what it is given without a limit: sequences of undefined length become an object
for each item, and a deflated data set is inflated whole. So the number of reads is counted, the
inflation is cut off, and only the elements that imaging asks for are kept. The pixel data are
found here and not by pydicom: it drops them where the sequence delimiter is missing, as several
modalities and archives write them, and it does not tell a transfer that broke off from a file
without an image.
"""

import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from pydicom import config
from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from cxr_gateway.imaging.dicom.tags import tag_name
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.sniff import ACCEPTED, DICOM_PREAMBLE_BYTES
from cxr_serving.errors import PayloadTooLarge, Unprocessable, UnsupportedMedia

# pydicom reports what it finds odd in a file by a warning that quotes the value, a patient's name
# or number among them; warnings reach the log, which holds nothing of the patient.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")

# A radiograph has one to three hundred elements, each read in two to four steps. An enhanced
# multi-frame file has some thousands a frame; it is refused for its frames or for this.
_MAX_READS = 400_000
_META_GROUP = 0x0002
# pydicom splits and validates a value on access, character by character: a "UID" of megabytes
# takes it minutes. Tables and sequences may be long, what a person could read may not.
_MAX_TABLE_BYTES = 1 << 20
_MAX_TEXT_BYTES = 1 << 14

_KEYWORDS = (
    "TransferSyntaxUID", "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate",
    "AccessionNumber", "Modality", "Manufacturer", "PatientName", "PatientID", "IssuerOfPatientID",
    "PatientBirthDate", "PatientSex", "BodyPartExamined", "ViewPosition", "StudyInstanceUID",
    "PatientOrientation",
    "AnatomicRegionSequence", "ViewCodeSequence", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "PresentationIntentType", "PixelAspectRatio", "PixelSpacing",
    "ImagerPixelSpacing", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "RescaleIntercept",
    "RescaleSlope", "ModalityLUTSequence", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "FloatPixelData", "DoubleFloatPixelData", "PixelData", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)  # fmt: skip
_TAGS: list[BaseTag | int] = [
    BaseTag(tag) for tag in map(tag_for_keyword, _KEYWORDS) if tag is not None
]
_BULK = frozenset(
    tag_for_keyword(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
)


_TEXTS = ("PatientName", "PatientID", "AccessionNumber", "BodyPartExamined", "ViewPosition")
_LATIN = ("ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 148")
# Every other one that there is; what is none of them says nothing.
_SCRIPTS = frozenset(python_encoding) - set(_LATIN) - {""}
_UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_PIXEL_DATA = BaseTag(0x7FE00010)
_PIXEL_DATA_NAME = tag_name("PixelData")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_LONG_VRS = frozenset({"OB", "OW", "UN", "OD", "OF", "OL", "OV"})

_TABLE_WORDS = ("Sequence", "LookupTable", "OffsetTable")
_TABLES = frozenset(
    tag_for_keyword(keyword)
    for keyword in _KEYWORDS
    if any(word in keyword for word in _TABLE_WORDS)
)


class _CountedReads(BytesIO):
    """A file in memory that refuses to be read in more than `_MAX_READS` steps."""

    _left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise Unprocessable("The DICOM file has more elements than any radiograph has.")
        return super().read(size)


def read_dicom(data: bytes, limits: Limits) -> tuple[Dataset, UID]:
    """The elements that decoded needs, and the transfer syntax.

    Raises:
        UnsupportedMedia: not a DICOM file after all.
        Unprocessable: damaged, or with far too many elements.
        PayloadTooLarge: a deflated file that inflates to over twice the limit in bytes.
    """
    ds, syntax = _read(data, limits, _TAGS)
    _check_sizes(ds)
    _settle_character_set(ds)
    if not ds and not _has_preamble(data):
        raise UnsupportedMedia(f"The upload is a file of an unknown kind. {ACCEPTED}")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds, syntax


def read_whole_dicom(data: bytes, limits: Limits) -> tuple[Dataset, UID]:
    """Every element of a file that `read_dicom` has taken, and the transfer syntax.

    Elements may be of any size, and are not converted yet.
    """
    ds, syntax = _read(data, limits, None)
    _settle_character_set(ds)
    return ds, syntax


def _read(data: bytes, limits: Limits, tags: list[BaseTag | int] | None) -> tuple[Dataset, UID]:
    source = _CountedReads(data)
    source.seek(DICOM_PREAMBLE_BYTES + 4 if _has_preamble(data) else 0)
    meta = read_dataset(source, False, True, stop_when=_after_meta)
    _check_sizes(meta)
    syntax = UID(str(meta.get("TransferSyntaxUID") or "")) or ImplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        source = _CountedReads(_inflate(source.read(), 2 * limits.max_bytes))
    syntax, is_implicit, is_little = _as_written(source.getvalue()[source.tell() :][:8], syntax)
    elements = _TopLevel(source)
    ds = read_dataset(
        source, is_implicit, is_little, stop_when=elements.is_pixel_data, specific_tags=tags
    )
    if elements.found_pixel_data:
        element = _pixel_data(source.getvalue(), source.tell(), is_implicit, is_little)
        ds[element.tag] = element
    elif "Rows" in ds or "TransferSyntaxUID" in meta:
        elements.refuse_if_cut()
    return ds, syntax


@dataclass
class _TopLevel:
    """Watches pydicom walk over the top-level elements, up to the pixel data."""

    source: _CountedReads
    found_pixel_data: bool = False
    _tag: BaseTag | None = None
    _end: int | None = 0  # of the last element's value; None if its length is undefined

    def is_pixel_data(self, tag: BaseTag, _vr: str | None, length: int) -> bool:
        """Called behind each element's tag, VR and length."""
        self.found_pixel_data = tag == _PIXEL_DATA
        self._tag = tag
        self._end = None if length == _UNDEFINED else self.source.tell() + length
        return self.found_pixel_data

    def refuse_if_cut(self) -> None:
        """Raise Unprocessable if the file ends within an element."""
        data = self.source.getvalue()
        is_open = self._end is None and not data.endswith(_SEQUENCE_END)
        if is_open or (self._end is not None and self._end != len(data)):
            where = keyword_for_tag(self._tag) if self._tag is not None else ""
            within = tag_name(where) if where else f"element {self._tag}"
            raise Unprocessable(f"The DICOM file is truncated: it ends within {within}.")


def _pixel_data(data: bytes, start: int, is_implicit: bool, is_little: bool) -> RawDataElement:
    """The PixelData element whose tag is at `start`, its sequence delimiter there or not."""
    order: Literal["little", "big"] = "little" if is_little else "big"
    head = data[start : start + 12]
    vr, size_at, size_bytes = None, 4, 4
    if not is_implicit:
        vr = head[4:6].decode("ascii", "replace")
        size_at, size_bytes = (8, 4) if vr in _LONG_VRS else (6, 2)
    begin = start + size_at + size_bytes
    if len(data) < begin:
        raise Unprocessable(f"The DICOM file is truncated: it ends within {_PIXEL_DATA_NAME}.")
    length = int.from_bytes(head[size_at : size_at + size_bytes], order)
    end = _end_of_items(data, begin) if length == _UNDEFINED else begin + length
    if end == begin:
        raise Unprocessable(f"The DICOM file's {_PIXEL_DATA_NAME} is empty.")
    return RawDataElement(
        _PIXEL_DATA, vr or "OW", length, data[begin:end], begin, is_implicit, is_little
    )


def _end_of_items(data: bytes, begin: int) -> int:
    """Where the items of encapsulated pixel data end (PS3.5, A.4).

    The sequence delimiter ends them; so do the end of the file and whatever is no item, because
    there are writers that leave the delimiter out or put zeros there. Whether the codestream in
    the items is whole is found out when its own end marker is looked for.
    """
    position = begin
    while data[position : position + 4] == _ITEM and position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if position + 8 + length > len(data):
            raise Unprocessable(f"The DICOM file is truncated: it ends within {_PIXEL_DATA_NAME}.")
        position += 8 + length
    return position


def _as_written(start: bytes, syntax: UID) -> tuple[UID, bool, bool]:
    """How a data set is written, by its first element: there are files that say another thing.

    Args:
        start: the first eight bytes of the data set.
        syntax: as the file says.

    Returns:
        The transfer syntax, another one only where two uncompressed ones were mixed up; whether
        the VR is implicit; and whether the order of bytes is little endian.
    """
    said = syntax, syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if len(start) < 8:
        return said
    # Data sets start with a group of a low number, 0008 nearly always.
    is_little = start[1] == 0 if (start[0] == 0) != (start[1] == 0) else said[2]
    is_implicit = not (start[4:6].isalpha() and start[4:6].isupper())
    if (is_implicit, is_little) == said[1:] or (is_implicit and not is_little):
        return said
    if syntax in _UNCOMPRESSED:
        syntax = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        syntax = ImplicitVRLittleEndian if is_implicit else syntax
    return syntax, is_implicit, is_little


def _settle_character_set(ds: Dataset) -> None:
    """Call texts UTF-8 that are, where the file says nothing, ASCII or a Latin character set.

    Text in a Latin character set is hardly ever UTF-8 by accident. In those of other scripts it
    may be, so these are believed.
    """
    said = ds.get("SpecificCharacterSet") or ""
    if not isinstance(said, str) or (said not in _LATIN and said in _SCRIPTS):
        return
    texts = b""
    for keyword in _TEXTS:
        value = ds.get_item(keyword).value if keyword in ds else None
        texts += value if isinstance(value, bytes) else b""
    if texts.isascii() or b"\x1b" in texts:
        return
    try:
        texts.decode()
    except UnicodeDecodeError:
        return
    ds.SpecificCharacterSet = "ISO_IR 192"
    # Elements that were not asked for yet are converted by this.
    is_implicit, is_little = ds.original_encoding
    ds.set_original_encoding(is_implicit, is_little, convert_encodings("ISO_IR 192"))


def _has_preamble(data: bytes) -> bool:
    return data[DICOM_PREAMBLE_BYTES : DICOM_PREAMBLE_BYTES + 4] == b"DICM"


def _after_meta(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != _META_GROUP


def _inflate(deflated: bytes, max_bytes: int) -> bytes:
    """Raw deflate (PS3.5, A.5) of at most `max_bytes`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(deflated, max_bytes)
    if inflater.unconsumed_tail:
        raise PayloadTooLarge(
            f"The deflated DICOM file inflates to over {max_bytes / 1e6:g} MB.",
            max_bytes=max_bytes,
        )
    return inflated


def _check_sizes(ds: Dataset) -> None:
    """Refuse elements that are too long to be what they say, before pydicom converts them."""
    for tag in ds.keys():  # noqa: SIM118  # iterating the data set itself would convert them
        value = ds.get_item(tag).value
        if tag in _BULK or not isinstance(value, bytes):
            continue
        if len(value) > (_MAX_TABLE_BYTES if tag in _TABLES else _MAX_TEXT_BYTES):
            raise Unprocessable(
                f"The DICOM file's element {tag} has {len(value)} bytes; that is too long."
            )
