"""The Image Pixel module (PS3.3, C.7.6.3) of a data set, checked before anything is decoded."""

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from cxr_gateway.imaging.dicom.tags import code_string, integer, tag_name
from cxr_gateway.imaging.limits import Limits
from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.decoding import plain

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
THREE_SAMPLES = frozenset(
    {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"}
)
COLOUR = THREE_SAMPLES | {"PALETTE COLOR"}
_MIN_BITS = 8


# Which pydicom's dictionary does not name.
_NEWER_SYNTAXES = {
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.111": "JPEG XL JPEG Recompression",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


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
    high_bit: int
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
    """The header of any decodable image, of whatever modality.

    Raises:
        Unprocessable: no pixel data, a required element missing, or one that cannot be true.
        PayloadTooLarge: Rows x Columns is over the limit.
    """
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in ds:
            raise Unprocessable(
                f"The DICOM file's pixels are {tag_name(keyword)}; accepted are whole numbers, "
                f"{tag_name('PixelData')}."
            )
    if "PixelData" not in ds:
        modality = code_string(ds, "Modality")
        told = f" ({tag_name('Modality')} is {modality})" if modality else ""
        raise Unprocessable(f"The DICOM file has no {tag_name('PixelData')}{told}.")
    rows, columns = integer(ds, "Rows"), integer(ds, "Columns")
    limits.check_size(
        columns, rows, f"DICOM file's {tag_name('Columns')} x {tag_name('Rows')} image"
    )
    bits_stored = integer(ds, "BitsStored")
    header = PixelHeader(
        rows=rows,
        columns=columns,
        frames=integer(ds, "NumberOfFrames", 1) or 1,
        samples=integer(ds, "SamplesPerPixel", 1),
        photometric=(code_string(ds, "PhotometricInterpretation") or "").upper(),
        bits_allocated=integer(ds, "BitsAllocated"),
        bits_stored=bits_stored,
        high_bit=integer(ds, "HighBit", bits_stored - 1),
        is_signed=integer(ds, "PixelRepresentation", 0) == 1,
    )
    _check(header)
    # The decoders ask for these themselves, and do not forgive.
    ds.NumberOfFrames, ds.SamplesPerPixel = header.frames, header.samples
    ds.PhotometricInterpretation = header.photometric
    ds.PixelRepresentation = int(header.is_signed)
    if header.samples > 1 and "PlanarConfiguration" not in ds:
        ds.PlanarConfiguration = 0
    return header


def require_radiograph(header: PixelHeader, ds: Dataset) -> None:
    """Raise Unprocessable for what is no single image of at least 8 bits.

    Colour may be how a grey image was stored: a secondary capture. The pixels decide that.
    """
    if header.frames != 1:
        raise Unprocessable(
            f"The DICOM file has {header.frames} frames ({tag_name('NumberOfFrames')}); accepted "
            "is one."
        )
    if header.photometric not in MONOCHROME | COLOUR:
        raise Unprocessable(
            f"The DICOM file's {tag_name('PhotometricInterpretation')} is {header.photometric}; "
            f"accepted are {', '.join(sorted(MONOCHROME | COLOUR))}."
        )
    table = "RedPaletteColorLookupTableDescriptor"
    if header.photometric == "PALETTE COLOR" and table not in ds:
        raise Unprocessable(f"The DICOM file lacks {tag_name(table)}.")
    if (header.samples == 3) != (header.photometric in THREE_SAMPLES):
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('SamplesPerPixel')} is "
            f"{header.samples}, {tag_name('PhotometricInterpretation')} is {header.photometric}."
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
    name = _NEWER_SYNTAXES.get(str(syntax), plain(syntax.name))
    return Unprocessable(
        f"The DICOM file's {tag_name('TransferSyntaxUID')} is {name}; accepted are "
        "uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000 and RLE."
    )


def _check(header: PixelHeader) -> None:
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
    # Up to the standard of 2013 the stored bits might lie anywhere in those allocated.
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('HighBit')} is {header.high_bit}; with "
            f"{header.bits_stored} of {header.bits_allocated} bits stored it is "
            f"{header.bits_stored - 1} to {header.bits_allocated - 1}."
        )
