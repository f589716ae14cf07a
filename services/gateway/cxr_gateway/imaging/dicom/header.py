"""The Image Pixel module (PS3.3, C.7.6.3) of a data set, checked before anything is decoded."""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from cxr_gateway.imaging.decoding import plain
from cxr_gateway.imaging.dicom.tags import integer, tag_name, text
from cxr_gateway.imaging.limits import Limits
from cxr_serving.errors import Unprocessable

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_MIN_BITS = 8


@dataclass(frozen=True, slots=True)
class PixelHeader:
    """How the pixels are stored; sizes in pixels and bits."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    @property
    def is_grey(self) -> bool:
        """Whether there is one grey sample a pixel."""
        return self.samples == 1 and self.photometric in MONOCHROME

    @property
    def n_pixels(self) -> int:
        """Pixels of one frame."""
        return self.rows * self.columns

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame, before padding to an even number."""
        samples = 2 if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") else self.samples
        return -(-self.n_pixels * samples * self.bits_allocated // 8)


def read_header(ds: Dataset, limits: Limits) -> PixelHeader:
    """The header of any decodable picture, of whatever modality.

    Raises:
        Unprocessable: no pixel data, a required element missing, or one that cannot be true.
        PayloadTooLarge: Rows x Columns is over the limit.
    """
    if "PixelData" not in ds:
        modality = text(ds, "Modality")
        told = f" ({tag_name('Modality')} is {modality})" if modality else ""
        raise Unprocessable(f"The DICOM file has no {tag_name('PixelData')}{told}.")
    rows, columns = integer(ds, "Rows"), integer(ds, "Columns")
    limits.check_size(
        columns, rows, f"DICOM file's {tag_name('Columns')} x {tag_name('Rows')} picture"
    )
    header = PixelHeader(
        rows=rows,
        columns=columns,
        frames=integer(ds, "NumberOfFrames", 1),
        samples=integer(ds, "SamplesPerPixel"),
        photometric=(text(ds, "PhotometricInterpretation") or "").upper(),
        bits_allocated=integer(ds, "BitsAllocated"),
        bits_stored=integer(ds, "BitsStored"),
        is_signed=integer(ds, "PixelRepresentation") == 1,
    )
    _check(header, ds)
    return header


def require_radiograph(header: PixelHeader) -> None:
    """Raise Unprocessable for what is no single grey picture of at least 8 bits."""
    if header.frames != 1:
        raise Unprocessable(
            f"The DICOM file has {header.frames} frames ({tag_name('NumberOfFrames')}); accepted "
            "is one."
        )
    if header.samples != 1:
        raise Unprocessable(
            f"The DICOM file is in colour: {tag_name('SamplesPerPixel')} is {header.samples}; "
            "accepted is 1."
        )
    if header.photometric not in MONOCHROME:
        raise Unprocessable(
            f"The DICOM file's {tag_name('PhotometricInterpretation')} is {header.photometric}; "
            "accepted are MONOCHROME1 and MONOCHROME2."
        )
    if header.bits_allocated not in (8, 16):
        raise Unprocessable(
            f"The DICOM file's {tag_name('BitsAllocated')} is {header.bits_allocated}; accepted "
            "are 8 and 16."
        )
    if header.bits_stored < _MIN_BITS:
        raise Unprocessable(
            f"The DICOM file's {tag_name('BitsStored')} is {header.bits_stored}; a radiograph "
            f"has at least {_MIN_BITS}."
        )


def unsupported_syntax(syntax: UID) -> Unprocessable:
    """The refusal of a transfer syntax that nothing here decodes."""
    return Unprocessable(
        f"The DICOM file's {tag_name('TransferSyntaxUID')} is {plain(syntax.name)}; accepted are "
        "uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000 and RLE."
    )


def _check(header: PixelHeader, ds: Dataset) -> None:
    if not header.photometric:
        raise Unprocessable(f"The DICOM file lacks {tag_name('PhotometricInterpretation')}.")
    if header.samples not in (1, 3):
        raise Unprocessable(
            f"The DICOM file's {tag_name('SamplesPerPixel')} is {header.samples}; it can be 1 or 3."
        )
    if header.frames < 1:
        raise Unprocessable(f"The DICOM file's {tag_name('NumberOfFrames')} is {header.frames}.")
    if header.bits_allocated not in (1, 8, 16, 32):
        raise Unprocessable(
            f"The DICOM file's {tag_name('BitsAllocated')} is {header.bits_allocated}."
        )
    if not 1 <= header.bits_stored <= header.bits_allocated:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('BitsStored')} is "
            f"{header.bits_stored}, {tag_name('BitsAllocated')} is {header.bits_allocated}."
        )
    high_bit = integer(ds, "HighBit", header.bits_stored - 1)
    if high_bit != header.bits_stored - 1:
        raise Unprocessable(
            f"The DICOM file's {tag_name('HighBit')} is {high_bit}; with {header.bits_stored} "
            f"stored bits it has to be {header.bits_stored - 1}."
        )
