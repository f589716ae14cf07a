"""From the bytes of a PNG or JPEG to one grey image, with every limit checked before decoding."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, PngImagePlugin

from cxr_serving.errors import PayloadTooLarge, Unprocessable, UnsupportedMedia

ACCEPTED = "8- or 16-bit grey or RGB PNG and JPEG, one picture a file, without transparency"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
# What the decoders raise on broken files; anything else is a fault of ours.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError,
)  # fmt: skip
# Names of other kinds, so that a refusal can say what was found.
_OTHER_KINDS = (
    (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\x00", "TIFF"), (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"<svg", "SVG"), (b"<", "markup"),
)  # fmt: skip

# Pillow's own bomb check warns or raises while it opens; ours refuses, by our own limit, and
# `Image.open` reads only the header.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded."""

    max_pixels: int = 50_000_000
    min_side_px: int = 32
    max_aspect_ratio: float = 8.0


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
    _check_size(image.width, image.height, limits)
    _check_kind(image, kind)
    try:
        deep = image.mode.startswith("I")
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
        if turned:
            image = ImageOps.exif_transpose(image)
        grey = grey_of_16_bit(np.asarray(image)) if deep else _grey_of_8_bit(image)
    except _BROKEN as error:
        raise _broken(kind) from error
    return DecodedImage(grey=grey, format=kind, as_stored=not deep and not turned)


def sniff(data: bytes) -> Literal["png", "jpeg"]:
    """The kind of file by its first bytes; a name or a declared type is not asked.

    Raises:
        Unprocessable: The file is empty.
        UnsupportedMedia: It is of another kind.
    """
    if not data:
        raise Unprocessable(f"The file is empty. Accepted: {ACCEPTED}.")
    if data.startswith(_PNG_SIGNATURE):
        return "png"
    if data.startswith(_JPEG_SIGNATURE):
        return "jpeg"
    found = next((name for start, name in _OTHER_KINDS if data.startswith(start)), None)
    if data[8:12] == b"WEBP":
        found = "WebP"
    what = f"a {found} file" if found else "of no kind that is known here"
    raise UnsupportedMedia(f"The file is {what}. Accepted: {ACCEPTED}.")


def grey_of_16_bit(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    """16-bit grey values [H, W] as 8 bit, by the number of bits that they really use.

    A 12-bit radiograph in a 16-bit file would be black if 65535 were taken for white: white is
    the largest value of the smallest depth (8 to 16 bits) that holds the brightest pixel.
    """
    bits = max(8, int(values.max()).bit_length())
    white = (1 << bits) - 1
    scaled = values.astype(np.float32)
    scaled *= 255.0 / white
    scaled += 0.5
    return scaled.astype(np.uint8)


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise PayloadTooLarge(
            f"The picture has {width} x {height} = {width * height:,} pixels; "
            f"at most {limits.max_pixels:,} are accepted.",
            max_pixels=limits.max_pixels,
        )
    if min(width, height) < limits.min_side_px:
        raise Unprocessable(
            f"The picture has {width} x {height} pixels; each side needs {limits.min_side_px}."
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise Unprocessable(
            f"The picture has {width} x {height} pixels; no radiograph is more than "
            f"{limits.max_aspect_ratio:g} times as long as it is wide."
        )


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


def _grey_of_8_bit(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _broken(kind: str) -> Unprocessable:
    return Unprocessable(
        f"The {kind.upper()} is broken or cut short and cannot be decoded. Accepted: {ACCEPTED}."
    )
