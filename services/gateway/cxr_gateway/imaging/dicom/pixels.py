"""Stored values out of pixel data, after the codestream was held against the header."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragments, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
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

from cxr_gateway.imaging.dicom.header import PixelHeader, unsupported_syntax
from cxr_gateway.imaging.dicom.tags import tag_name
from cxr_gateway.imaging.jpeg2000 import j2k_stream_frame
from cxr_gateway.imaging.packbits import decode_rle
from cxr_serving.errors import Unprocessable
from cxr_serving.imaging.codestream import Frame, jpeg_stream_frame
from cxr_serving.imaging.decoding import decoding, plain

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
_J2K = frozenset({JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL})
SYNTAXES = _NATIVE | _JPEG | _J2K | {RLELossless}
# JPEG and JPEG-LS, JPEG 2000, and JPEG 2000 in boxes.
_CODESTREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")
_ITEM_START = b"\xfe\xff\x00\xe0"
_SECOND_DECODER = _JPEG - {JPEGLSLossless, JPEGLSNearLossless}


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """Integers [H, W], or [H, W, 3] where there are three samples a pixel; and who decoded them."""

    values: NDArray[Any]
    decoder: str


def check_syntax(syntax: UID) -> None:
    """Raise Unprocessable unless one of the decoders here knows `syntax`."""
    if syntax not in SYNTAXES:
        raise unsupported_syntax(syntax)


def first_frame(ds: Dataset, syntax: UID, header: PixelHeader) -> StoredFrame:
    """The first frame's stored values, sign and unused bits settled; YBR colour comes as RGB.

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
            _check_length(element.value, header)
            native = _decoded(ds, syntax, view_only=True, correct_unused_bits=False)
            return StoredFrame(_without_unused_bits(native.values, header), "none needed")
        frame = _first_frame_of(ds, element.value, header.frames)
        # Samples of a codestream have no room for unused bits below.
        in_bytes, header = header, replace(header, high_bit=header.bits_stored - 1)
        if syntax == RLELossless:
            return StoredFrame(_rle(frame, in_bytes), "RLE, the gateway's own")
        stream, bits = _check_stream(frame, syntax, header)
        if stream.point_transform:
            # libjpeg as pylibjpeg has it forgets to shift these back up, and says nothing.
            return _by_second_decoder(frame, header, bits)
        try:
            # A stream of 16 bits may hold signed values of 12, whose sign no decoder looks for.
            decoded = _decoded(ds, syntax, bits_stored=bits)
            values = _without_unused_bits(
                decoded.values, replace(header, bits_stored=bits, high_bit=bits - 1)
            )
            return replace(decoded, values=values)
        except Exception:
            if syntax not in _SECOND_DECODER or header.samples != 1:
                raise
            return _by_second_decoder(frame, header, bits)


def _by_second_decoder(frame: bytes, header: PixelHeader, bits: int) -> StoredFrame:
    """libjpeg-turbo, for what the first decoder fails on or is known to get wrong."""
    values = imagecodecs.jpeg_decode(frame)
    if values.shape != (header.rows, header.columns):
        raise Unprocessable("The compressed image has another size than its header says.")
    container = np.dtype(f"u{header.bits_allocated // 8}")
    if values.dtype.itemsize > container.itemsize:
        raise Unprocessable("The compressed image has more bits than its header says.")
    values = values.astype(container, copy=False)
    if header.is_signed:
        values = values.view(f"i{container.itemsize}")
    values = _without_unused_bits(values, replace(header, bits_stored=bits, high_bit=bits - 1))
    return StoredFrame(values, "libjpeg-turbo of imagecodecs")


def _decoded(ds: Dataset, syntax: UID, **options: Any) -> StoredFrame:
    """By the first of pydicom's decoders that can."""
    decoder: Any = get_decoder(syntax)  # its options are typed as one dictionary each
    *first, last = decoder.available_plugins or ("",)
    for plugin in first:
        with suppress(Exception):
            values = decoder.as_array(ds, index=0, decoding_plugin=plugin, **options)[0]
            return StoredFrame(values, plugin)
    values = decoder.as_array(ds, index=0, decoding_plugin=last, **options)[0]
    return StoredFrame(values, last)


def _first_frame_of(ds: Dataset, encapsulated: bytes, frames: int) -> bytes:
    """The first frame's codestream, out of as many fragments as it was cut into.

    A single frame is whatever the items hold, so tables of offsets are not asked: they are often
    wrong, and the basic one, an item of its own, is left out by some writers. `ds` gets the frame
    as decoders expect it.
    """
    if frames > 1:
        return get_frame(encapsulated, 0, number_of_frames=frames)
    items = list(generate_fragments(encapsulated))
    has_table = len(items) > 1 and not items[0].startswith(_CODESTREAM_STARTS)
    frame = b"".join(items[1:] if has_table else items)
    if len(items) != 2 or items[0] or "ExtendedOffsetTable" in ds:
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in ds:
                del ds[keyword]
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].is_undefined_length = True
    return frame


def _check_length(data: bytes, header: PixelHeader) -> None:
    n_bytes = len(data)
    needed = header.frame_bytes * header.frames
    if n_bytes < needed:
        raise Unprocessable(
            f"The DICOM file is truncated or its header lies: {tag_name('PixelData')} has "
            f"{n_bytes} bytes; {tag_name('Rows')} {header.rows}, {tag_name('Columns')} "
            f"{header.columns} and {tag_name('BitsAllocated')} {header.bits_allocated} need "
            f"{needed}."
        )
    if n_bytes >= needed + len(_ITEM_START) and data.startswith(_ITEM_START):
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('TransferSyntaxUID')} is uncompressed, "
            f"and its {tag_name('PixelData')} is stored in items."
        )


def _check_stream(frame: bytes, syntax: UID, header: PixelHeader) -> tuple[Frame, int]:
    """Hold the codestream's own header against the data set's; with the bits to decode with.

    Extended JPEG always says 12 bits and scanners store 10 in it, so more bits than are stored
    are allowed, and then used: a wrong BitsStored must not wrap bright pixels to black.
    """
    stream = j2k_stream_frame(frame) if syntax in _J2K else jpeg_stream_frame(frame)
    if (stream.height, stream.width) != (header.rows, header.columns):
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('Rows')} {header.rows} and "
            f"{tag_name('Columns')} {header.columns}, but the compressed image has "
            f"{stream.height} rows and {stream.width} columns."
        )
    if stream.components != header.samples:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('SamplesPerPixel')} is "
            f"{header.samples}, but the compressed image has {stream.components} components."
        )
    if stream.precision > header.bits_allocated:
        raise Unprocessable(
            f"The DICOM file contradicts itself: {tag_name('BitsAllocated')} is "
            f"{header.bits_allocated}, but the compressed image has {stream.precision} bits."
        )
    if header.is_signed:
        return stream, header.bits_stored
    return stream, max(header.bits_stored, stream.precision)


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
    """The stored bits alone, as a number; what lies beside them may be overlays.

    Two shifts, of which the second fills in the sign, leave what is between them.
    """
    above = header.bits_allocated - 1 - header.high_bit
    unused = header.bits_allocated - header.bits_stored
    if not unused:
        return values
    settled: NDArray[Any]
    if header.is_signed or above < unused:
        settled = (values << above) >> unused
    else:
        settled = values & values.dtype.type((1 << header.bits_stored) - 1)
    return settled
