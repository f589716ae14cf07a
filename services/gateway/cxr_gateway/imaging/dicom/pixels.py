"""Stored values out of pixel data, after the codestream was held against the header."""

from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from cxr_gateway.imaging.codestream import jpeg_stream_frame
from cxr_gateway.imaging.decoding import decoding, plain
from cxr_gateway.imaging.dicom.header import PixelHeader, unsupported_syntax
from cxr_gateway.imaging.dicom.tags import tag_name
from cxr_gateway.imaging.jpeg2000 import j2k_stream_frame
from cxr_gateway.imaging.packbits import decode_rle
from cxr_serving.errors import Unprocessable

_NATIVE = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
_JPEG = frozenset(
    {
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
    }
)
_J2K = frozenset({JPEG2000, JPEG2000Lossless})


def check_syntax(syntax: UID) -> None:
    """Raise Unprocessable unless one of the decoders here knows `syntax`."""
    if syntax not in _NATIVE | _JPEG | _J2K | {RLELossless}:
        raise unsupported_syntax(syntax)


def first_frame(ds: Dataset, syntax: UID, header: PixelHeader) -> NDArray[Any]:
    """The first frame's stored values, sign and unused bits settled; YBR colour comes as RGB.

    Returns:
        Integers [H, W], or [H, W, 3] where there are three samples a pixel.

    Raises:
        Unprocessable: less pixel data than the header says, or a codestream that is damaged or
            of another size.
    """
    check_syntax(syntax)
    element = ds["PixelData"]
    if element.is_undefined_length == (syntax in _NATIVE):
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('TransferSyntaxUID')} is "
            f"{plain(syntax.name)}, and its {tag_name('PixelData')} is stored otherwise."
        )
    with decoding(f"DICOM file's {tag_name('PixelData')}"):
        if syntax in _NATIVE:
            _check_length(len(element.value), header)
            values = _decoded(ds, syntax, view_only=True, correct_unused_bits=False)
            return _without_unused_bits(values, header)
        frame = get_frame(element.value, 0, number_of_frames=header.frames)
        if syntax == RLELossless:
            return _rle(frame, header)
        bits = _check_stream(frame, syntax, header)
        return _decoded(ds, syntax, bits_stored=bits)


def _decoded(ds: Dataset, syntax: UID, **options: Any) -> NDArray[Any]:
    decoder: Any = get_decoder(syntax)  # its options are typed as one dictionary each
    values: NDArray[Any] = decoder.as_array(ds, index=0, **options)[0]
    return values


def _check_length(n_bytes: int, header: PixelHeader) -> None:
    needed = header.frame_bytes * header.frames
    if n_bytes < needed:
        raise Unprocessable(
            f"The DICOM file is truncated or its header lies: {tag_name('PixelData')} has "
            f"{n_bytes} bytes; {tag_name('Rows')} {header.rows}, {tag_name('Columns')} "
            f"{header.columns} and {tag_name('BitsAllocated')} {header.bits_allocated} need "
            f"{needed}."
        )


def _check_stream(frame: bytes, syntax: UID, header: PixelHeader) -> int:
    """Hold the codestream's own header against the data set's; returns the bits to decode with.

    Extended JPEG always says 12 bits and scanners store 10 in it, so more bits than are stored
    are allowed, and then used: a wrong BitsStored must not wrap bright pixels to black.
    """
    stream = j2k_stream_frame(frame) if syntax in _J2K else jpeg_stream_frame(frame)
    if (stream.height, stream.width) != (header.rows, header.columns):
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('Rows')} {header.rows} and "
            f"{tag_name('Columns')} {header.columns}, but the compressed picture has "
            f"{stream.height} rows and {stream.width} columns."
        )
    if stream.components != header.samples:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('SamplesPerPixel')} is "
            f"{header.samples}, but the compressed picture has {stream.components} components."
        )
    if stream.precision > header.bits_allocated:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('BitsAllocated')} is "
            f"{header.bits_allocated}, but the compressed picture has {stream.precision} bits."
        )
    if header.is_signed:
        return header.bits_stored
    return max(header.bits_stored, stream.precision)


def _rle(frame: bytes, header: PixelHeader) -> NDArray[Any]:
    n_bytes = header.bits_allocated // 8
    if not n_bytes:
        raise Unprocessable(
            f"The DICOM file's {tag_name('BitsAllocated')} is {header.bits_allocated}; RLE "
            "needs whole bytes."
        )
    planes = decode_rle(frame, header.n_pixels, header.samples, n_bytes)
    values = planes.reshape(header.rows, header.columns, -1).view(f"<u{n_bytes}")
    if header.is_signed:
        values = values.view(f"<i{n_bytes}")
    values = _without_unused_bits(values, header)
    return values[..., 0] if header.samples == 1 else values


def _without_unused_bits(values: NDArray[Any], header: PixelHeader) -> NDArray[Any]:
    """Clear the bits above the stored ones, or let the sign fill them: overlays may lie there."""
    unused = header.bits_allocated - header.bits_stored
    if not unused:
        return values
    settled: NDArray[Any]
    if header.is_signed:
        settled = (values << unused) >> unused
    else:
        settled = values & values.dtype.type((1 << header.bits_stored) - 1)
    return settled
