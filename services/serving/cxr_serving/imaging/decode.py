"""From the bytes of a PNG or JPEG to one grey image: the one decoder of gateway and services."""

from typing import Literal

from PIL import Image

from cxr_serving.errors import Unprocessable, UnsupportedMedia
from cxr_serving.imaging.jpeg import decode_jpeg
from cxr_serving.imaging.limits import ImageLimits
from cxr_serving.imaging.png import decode_png
from cxr_serving.imaging.result import DecodedImage
from cxr_serving.sniffing import JPEG_SIGNATURE, PNG_SIGNATURE, describe

ACCEPTED = "8- or 16-bit grey or RGB PNG and JPEG, one image a file, without transparency"
_DEFAULT_LIMITS = ImageLimits()

# Pillow's own bomb check warns or raises while it opens; ours refuses, by our own limit, and
# before Pillow sees the file.
Image.MAX_IMAGE_PIXELS = None


def decode_file(data: bytes, limits: ImageLimits = _DEFAULT_LIMITS) -> DecodedImage:
    """The image in `data`, a whole PNG or JPEG file; one in colour is decoded and says so.

    Raises:
        UnsupportedMedia: 415, neither a PNG nor a JPEG, or animated, transparent or CMYK.
        PayloadTooLarge: 413, more pixels than the limit; nothing was decoded.
        Unprocessable: 422, empty, broken, cut short, of too few bits, too small or too long and
            thin.
    """
    decode = decode_png if sniff(data) == "png" else decode_jpeg
    return decode(data, limits)


def decode_grey(data: bytes, limits: ImageLimits = _DEFAULT_LIMITS) -> DecodedImage:
    """As `decode_file`, for who takes radiographs only.

    Raises:
        UnsupportedMedia, PayloadTooLarge: as there.
        Unprocessable: likewise, and for an image in colour.
    """
    decoded = decode_file(data, limits)
    if decoded.in_colour is not None:
        raise Unprocessable(decoded.in_colour)
    return decoded


def sniff(data: bytes) -> Literal["png", "jpeg"]:
    """The kind of file by its first bytes; a name or a declared type is not asked.

    Raises:
        Unprocessable: The file is empty.
        UnsupportedMedia: It is of another kind.
    """
    if not data:
        raise Unprocessable(f"The file is empty. Accepted: {ACCEPTED}.")
    if data.startswith(PNG_SIGNATURE):
        return "png"
    if data.startswith(JPEG_SIGNATURE):
        return "jpeg"
    raise UnsupportedMedia(f"The file is {describe(data)}. Accepted: {ACCEPTED}.")
