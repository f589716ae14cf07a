"""PNG (ISO/IEC 15948): a walk over the chunks within the limits, then Pillow on what matters."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from cxr_serving.errors import Unprocessable, UnsupportedMedia
from cxr_serving.imaging.colour import Grey, grey_of_rgb
from cxr_serving.imaging.decoding import decoding
from cxr_serving.imaging.depth import grey_of_16_bit
from cxr_serving.imaging.limits import ImageLimits
from cxr_serving.imaging.orientation import UPRIGHT, orientation_of, upright
from cxr_serving.imaging.result import DecodedImage
from cxr_serving.sniffing import PNG_SIGNATURE

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
# All that the pixels need. Whatever else a file carries (profiles and texts can be zlib bombs) is
# not shown to the decoder.
# Each with the critical chunks that may come right before it, b"" at the beginning (section 5.6).
_BEFORE = {
    b"IHDR": {b""},
    b"PLTE": {b"IHDR"},
    b"IDAT": {b"IHDR", b"PLTE", b"IDAT"},
    b"IEND": {b"IDAT"},
}
_MAX_CHUNKS = 100_000
_MAX_EXIF_BYTES = 1 << 20
_INFLATED_AT_ONCE = 1 << 20
# The passes of an interlaced file: first column and row, and the steps to the next ones.
_ADAM7 = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Walked:
    """What the chunks say, and the file reduced to what the pixels need."""

    colour_type: int
    orientation: int
    data: bytes


def decode_png(data: bytes, limits: ImageLimits) -> DecodedImage:
    """The upright grey image.

    Raises:
        UnsupportedMedia: an animation, or an alpha channel.
        Unprocessable: damaged, fewer than 8 bits, too small or too oblong.
        PayloadTooLarge: the header declares too many pixels.
    """
    walked = _walk(data, limits)
    with decoding("PNG"):
        grey, in_colour = _grey(_loaded(walked), walked.colour_type)
    return DecodedImage(upright(grey, walked.orientation), "png", walked.orientation, in_colour)


def values_of_16_bit_png(data: bytes, limits: ImageLimits) -> NDArray[np.uint16] | None:
    """The upright stored values, uint16 [H, W], of a PNG of 16 bits; None of another PNG.

    Raises:
        As `decode_png`.
    """
    walked = _walk(data, limits)
    with decoding("PNG"):
        image = _loaded(walked)
        if not image.mode.startswith("I"):
            return None
        return upright(np.asarray(image).astype(np.uint16, copy=False), walked.orientation)


def _loaded(walked: _Walked) -> Image.Image:
    image = PngImagePlugin.PngImageFile(BytesIO(walked.data))
    image.load()
    # Pillow leaves rows black that the file does not have, if the data ends in good order.
    if "interlace" in image.info or not np.asarray(image)[-1].any():
        _check_rows(walked.data)
    return image


def _grey(image: Image.Image, colour_type: int) -> Grey:
    if image.mode == "L":
        return np.asarray(image), None
    if image.mode.startswith("I"):
        return grey_of_16_bit(np.asarray(image).astype(np.uint16, copy=False)), None
    kind = "PNG's palette" if colour_type == _PALETTE else "PNG"
    red, green, blue = image.convert("RGB").split()
    return grey_of_rgb(np.asarray(red), np.asarray(green), np.asarray(blue), kind)


def _check_rows(data: bytes) -> None:
    """Inflate the pixels of a file of critical chunks, counting only; Unprocessable if too few."""
    width, height, bit_depth, colour_type, _, _, interlaced = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    bits = bit_depth * (3 if colour_type == _RGB else 1)
    sizes = [
        (-(-(width - x) // dx), -(-(height - y) // dy))
        for x, y, dx, dy in (_ADAM7 if interlaced else ((0, 0, 1, 1),))
    ]
    missing = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0)
    inflater, position = zlib.decompressobj(), len(PNG_SIGNATURE)
    while position < len(data) and missing > 0:
        length, name = struct.unpack_from(">I4s", data, position)
        packed = data[position + 8 : position + 8 + length] if name == b"IDAT" else b""
        while packed and missing > 0:
            missing -= len(inflater.decompress(packed, _INFLATED_AT_ONCE))
            packed = inflater.unconsumed_tail
        position += 12 + length
    if missing > 0:
        raise Unprocessable(f"The PNG is incomplete: {missing} bytes of its pixels are missing.")


def _walk(data: bytes, limits: ImageLimits) -> _Walked:
    """Check every chunk's length and every critical chunk's CRC and place; decode nothing."""
    view = memoryview(data)
    colour_type = _header(data, limits)
    position, n_chunks, before = len(PNG_SIGNATURE), 0, b""
    orientation, keep = UPRIGHT, [view[:position]]
    while True:
        n_chunks += 1
        if position + 12 > len(data) or n_chunks > _MAX_CHUNKS:
            raise Unprocessable(
                "The PNG is truncated: it ends before its IEND chunk."
                if n_chunks <= _MAX_CHUNKS
                else f"The PNG has more than {_MAX_CHUNKS} chunks."
            )
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise Unprocessable(f"The PNG is truncated within its {_ascii(name)} chunk.")
        _refuse_by_chunk(name)
        if name in _BEFORE:
            if zlib.crc32(view[position + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
                raise Unprocessable(f"The PNG is damaged: the CRC of its {_ascii(name)} is wrong.")
            # A second header would be obeyed by the decoder, and was never held to the limits.
            if before not in _BEFORE[name]:
                raise Unprocessable(f"The PNG is damaged: its {_ascii(name)} is out of place.")
            before = name
            keep.append(view[position:end])
        elif name == b"eXIf" and length <= _MAX_EXIF_BYTES:
            orientation = orientation_of(data[position + 8 : end - 4])
        position = end
        if name == b"IEND":
            break
    return _Walked(colour_type, orientation, b"".join(keep))


def _header(data: bytes, limits: ImageLimits) -> int:
    """The colour type of the IHDR chunk, which has to come first."""
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\rIHDR":
        raise Unprocessable("The PNG is truncated or damaged: it does not start with IHDR.")
    width, height, bit_depth, colour_type = struct.unpack_from(">IIBB", data, 16)
    limits.check_size(width, height, "PNG")
    if colour_type in (_GREY_ALPHA, _RGB_ALPHA):
        raise UnsupportedMedia(
            "The PNG has an alpha channel; accepted are PNGs without transparency."
        )
    if colour_type == _GREY and bit_depth < 8:
        raise Unprocessable(f"The PNG has {bit_depth} bit(s) of grey; a radiograph needs 8 or 16.")
    if colour_type == _RGB and bit_depth != 8:
        raise Unprocessable(
            f"The PNG stores {bit_depth}-bit colour; accepted are 8- and 16-bit grey and 8-bit "
            "colour files of a grey image."
        )
    return int(colour_type)


def _refuse_by_chunk(name: bytes) -> None:
    if name == b"acTL":
        raise UnsupportedMedia("The PNG is animated (APNG); accepted are still images.")
    if name == b"tRNS":
        raise UnsupportedMedia(
            "The PNG has transparent pixels (tRNS); accepted are PNGs without transparency."
        )


def _ascii(name: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in name)
