"""PNG (ISO/IEC 15948): a walk over the chunks within the limits, then Pillow on what matters."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from cxr_gateway.intake.colour import grey_of_rgb
from cxr_gateway.intake.decoding import decoding
from cxr_gateway.intake.deep_grey import grey_of_deep
from cxr_gateway.intake.limits import Limits
from cxr_gateway.intake.orientation import UPRIGHT, orientation_of, upright
from cxr_gateway.intake.result import GreyImage
from cxr_gateway.intake.sniff import PNG_SIGNATURE
from cxr_serving.errors import Unprocessable, UnsupportedMedia

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
# Ancillary chunks that are small, uncompressed and without effect on the pixels. A file with any
# other one (profiles and texts can be zlib bombs) is decoded and passed on without them.
_HARMLESS = frozenset({b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"tIME", b"bKGD", b"sBIT", b"tEXt"})
_MAX_HARMLESS_BYTES = 4096
_MAX_CHUNKS = 100_000
_MAX_EXIF_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Walked:
    """What the chunks say, and the file reduced to what the pixels need."""

    bit_depth: int
    colour_type: int
    orientation: int
    data: bytes


def decode_png(data: bytes, limits: Limits) -> tuple[GreyImage, bytes | None]:
    """The upright grey picture, uint8 [H, W], and the file to forward (None: forward the picture).

    Raises:
        UnsupportedMedia: an animation, or an alpha channel.
        Unprocessable: damaged, fewer than 8 bits, in colour, too small or too oblong.
        PayloadTooLarge: the header declares too many pixels.
    """
    walked = _walk(data, limits)
    with decoding("PNG"):
        image = PngImagePlugin.PngImageFile(BytesIO(walked.data))
        image.load()
        grey = _grey(image, walked.colour_type)
    if walked.orientation != UPRIGHT:
        return upright(grey, walked.orientation), None
    simple = walked.bit_depth == 8 and walked.colour_type in (_GREY, _RGB)
    return grey, walked.data if simple else None


def _grey(image: Image.Image, colour_type: int) -> GreyImage:
    if image.mode == "L":
        return np.asarray(image)
    if image.mode.startswith("I"):
        return grey_of_deep(np.asarray(image).astype(np.uint16, copy=False))
    kind = "PNG's palette" if colour_type == _PALETTE else "PNG"
    red, green, blue = image.convert("RGB").split()
    return grey_of_rgb(np.asarray(red), np.asarray(green), np.asarray(blue), kind)


def _walk(data: bytes, limits: Limits) -> _Walked:
    """Check every chunk's length and every critical chunk's CRC; decode nothing."""
    view = memoryview(data)
    bit_depth, colour_type = _header(data, limits)
    position, n_chunks = len(PNG_SIGNATURE), 0
    orientation, keep, all_kept = UPRIGHT, [view[:position]], True
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
        if name in _CRITICAL:
            if zlib.crc32(view[position + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
                raise Unprocessable(f"The PNG is damaged: the CRC of its {_ascii(name)} is wrong.")
            keep.append(view[position:end])
        elif name in _HARMLESS and length <= _MAX_HARMLESS_BYTES:
            keep.append(view[position:end])
        else:
            all_kept = False
            if name == b"eXIf" and length <= _MAX_EXIF_BYTES:
                orientation = orientation_of(data[position + 8 : end - 4])
        position = end
        if name == b"IEND":
            break
    whole = all_kept and position == len(data)
    return _Walked(bit_depth, colour_type, orientation, data if whole else b"".join(keep))


def _header(data: bytes, limits: Limits) -> tuple[int, int]:
    """Bit depth and colour type of the IHDR chunk, which has to come first."""
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
            "colour files of a grey picture."
        )
    return bit_depth, colour_type


def _refuse_by_chunk(name: bytes) -> None:
    if name == b"acTL":
        raise UnsupportedMedia("The PNG is animated (APNG); accepted are still pictures.")
    if name == b"tRNS":
        raise UnsupportedMedia(
            "The PNG has transparent pixels (tRNS); accepted are PNGs without transparency."
        )


def _ascii(name: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in name)
