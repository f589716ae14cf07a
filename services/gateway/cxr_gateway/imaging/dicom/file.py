"""A DICOM file to a pydicom data set, with bounded work and memory.

pydicom parses what it is given without a limit: sequences of undefined length become an object
for each item, and a deflated data set is inflated whole. So the number of reads is counted, the
inflation is cut off, and only the elements that intake asks for are kept.
"""

import warnings
import zlib
from io import BytesIO

from pydicom import config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

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
    "AccessionNumber", "Modality", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "BodyPartExamined", "ViewPosition", "StudyInstanceUID", "PatientOrientation",
    "AnatomicRegionSequence", "ViewCodeSequence", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "RescaleIntercept",
    "RescaleSlope", "ModalityLUTSequence", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData",
    "FloatPixelData", "DoubleFloatPixelData", "PixelData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip
_TAGS: list[BaseTag | int] = [
    BaseTag(tag) for tag in map(tag_for_keyword, _KEYWORDS) if tag is not None
]
_BULK = frozenset(
    tag_for_keyword(keyword) for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
)


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
    """The elements that intake needs, and the transfer syntax.

    Raises:
        UnsupportedMedia: not a DICOM file after all.
        Unprocessable: damaged, or with far too many elements.
        PayloadTooLarge: a deflated file that inflates to over twice the limit in bytes.
    """
    ds, syntax = _read(data, limits, _TAGS)
    _check_sizes(ds)
    if not ds and not _has_preamble(data):
        raise UnsupportedMedia(f"The upload is a file of an unknown kind. {ACCEPTED}")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    return ds, syntax


def read_whole_dicom(data: bytes, limits: Limits) -> tuple[Dataset, UID]:
    """Every element of a file that `read_dicom` has taken, and the transfer syntax.

    Elements may be of any size, and are not converted yet.
    """
    return _read(data, limits, None)


def _read(data: bytes, limits: Limits, tags: list[BaseTag | int] | None) -> tuple[Dataset, UID]:
    source = _CountedReads(data)
    source.seek(DICOM_PREAMBLE_BYTES + 4 if _has_preamble(data) else 0)
    meta = read_dataset(source, False, True, stop_when=_after_meta)
    _check_sizes(meta)
    syntax = UID(str(meta.get("TransferSyntaxUID") or "")) or ImplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        source = _CountedReads(_inflate(source.read(), 2 * limits.max_bytes))
    ds = read_dataset(
        source,
        syntax == ImplicitVRLittleEndian,
        syntax != ExplicitVRBigEndian,
        specific_tags=tags,
    )
    return ds, syntax


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
