"""From the bytes of a PNG or JPEG to one grey image, with every limit checked before decoding."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from cxr_serving.deep_grey import grey_of_deep
from cxr_serving.errors import Unprocessable, UnsupportedMedia
from cxr_serving.file_kind import JPEG_SIGNATURE, PNG_SIGNATURE, describe
from cxr_serving.image_limits import ImageLimits
from cxr_serving.orientation import UPRIGHT, orientation_of, upright

ACCEPTED = "8- or 16-bit grey or RGB PNG and JPEG, one picture a file, without transparency"
# What the decoders raise on broken files; anything else is a fault of ours.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError,
)  # fmt: skip

# Pillow's own bomb check warns or raises while it opens; ours refuses, by our own limit, and
# `Image.open` reads only the header.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class DecodedImage:
    """A picture as the readers see it.

    `grey` is uint8 [H, W], upright (a rotation that EXIF asks for is carried out). `as_stored` is
    whether the file holds these very pixels: 8 bits and no rotation.
    """

    grey: NDArray[np.uint8]
    format: Literal["png", "jpeg"]
    as_stored: bool

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.grey.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.grey.shape[0])


def decode_grey(data: bytes, limits: ImageLimits | None = None) -> DecodedImage:
    """The picture in `data`, a whole PNG or JPEG file.

    Raises:
        UnsupportedMedia: 415, neither a PNG nor a JPEG.
        PayloadTooLarge: 413, more pixels than the limit; nothing was decoded.
        Unprocessable: 422, empty, broken, cut short, animated, CMYK, palette, transparent,
            too small or too long and thin.
    """
    limits = limits or ImageLimits()
    kind = sniff(data)
    try:
        # The plug-ins are named directly: Image.open would try others, and import them first.
        image: Image.Image = (
            PngImagePlugin.PngImageFile(io.BytesIO(data))
            if kind == "png"
            else JpegImagePlugin.jpeg_factory(io.BytesIO(data))
        )
    except _BROKEN as error:
        raise _broken(kind) from error
    limits.check_size(image.width, image.height, kind.upper())
    _check_kind(image, kind)
    try:
        deep = image.mode.startswith("I")
        image.load()
        orientation = orientation_of(image.info.get("exif", b""))
        grey = _grey_of_16_bit(image) if deep else _grey_of_8_bit(image)
    except _BROKEN as error:
        raise _broken(kind) from error
    as_stored = not deep and orientation == UPRIGHT
    return DecodedImage(upright(grey, orientation), kind, as_stored)


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


def _check_kind(image: Image.Image, kind: str) -> None:
    found = None
    if getattr(image, "n_frames", 1) > 1:
        found = "several pictures (animated)"
    elif "A" in image.getbands() or "transparency" in image.info:
        found = "an alpha channel"
    elif image.mode == "CMYK":
        found = "CMYK colours"
    elif image.mode == "P":
        found = "a colour palette"
    elif image.mode not in ("1", "L", "RGB", "I", "I;16", "I;16B"):
        found = f"pixels of the kind {image.mode}"
    if found is not None:
        raise Unprocessable(f"The {kind.upper()} has {found}. Accepted: {ACCEPTED}.")


def _grey_of_16_bit(image: Image.Image) -> NDArray[np.uint8]:
    return grey_of_deep(np.asarray(image).astype(np.uint16, copy=False))


def _grey_of_8_bit(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _broken(kind: str) -> Unprocessable:
    return Unprocessable(
        f"The {kind.upper()} is broken or cut short and cannot be decoded. Accepted: {ACCEPTED}."
    )
