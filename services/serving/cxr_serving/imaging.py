"""From the bytes of a PNG or JPEG to one grey image, with every limit checked before decoding.

The gateway's own decoders share the limits, the bit depths and the orientation with this one.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin

from cxr_serving.errors import PayloadTooLarge, Unprocessable, UnsupportedMedia
from cxr_serving.sniffing import JPEG_SIGNATURE, PNG_SIGNATURE, describe

ACCEPTED = "8- or 16-bit grey or RGB PNG and JPEG, one image a file, without transparency"
# Detectors digitise to 10, 12 or 14 bits and exporters put the values unscaled into 16-bit files.
# A PNG has no window that says so, therefore: the range is the smallest of these depths which
# holds all but the brightest thousandth (burnt-in letters are often at full white). No further
# stretching: a radiograph that is dark within its range stays dark.
DEPTHS = (8, 10, 12, 14, 16)
_BRIGHTEST_SHARE = 0.001
# EXIF orientation (Exif 2.32, 4.6.4): 1 of 8, the image as it is stored.
UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
# What the decoders raise on broken files; anything else is a fault of ours.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError,
)  # fmt: skip

# Pillow's own bomb check warns or raises while it opens; ours refuses, by our own limit, and
# `Image.open` reads only the header.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded.

    A digital chest radiograph has 2 to 20 million pixels and is at most a little oblong; the limits
    leave room for scanned large radiographs and for strips that were cropped to one lung.
    """

    max_pixels: int = 50_000_000
    min_side_px: int = 32
    max_aspect_ratio: float = 5.0

    def check_size(self, width: int, height: int, kind: str) -> None:
        """Raise PayloadTooLarge or Unprocessable for the size that a header declares.

        Args:
            width: pixels, as declared.
            height: pixels, as declared.
            kind: how the file is called in the message, e.g. `PNG`.
        """
        if width <= 0 or height <= 0:
            raise Unprocessable(f"The {kind} declares a size of {width} x {height} pixels.")
        if width * height > self.max_pixels:
            raise PayloadTooLarge(
                f"The {kind} declares {width} x {height} pixels, {width * height / 1e6:.1f} "
                f"megapixels; at most {self.max_pixels / 1e6:g} are accepted.",
                max_pixels=self.max_pixels,
            )
        if min(width, height) < self.min_side_px:
            raise Unprocessable(
                f"The {kind} has {width} x {height} pixels; at least {self.min_side_px} a side "
                "are needed."
            )
        if max(width, height) > self.max_aspect_ratio * min(width, height):
            raise Unprocessable(
                f"The {kind} has {width} x {height} pixels; a radiograph is at most "
                f"{self.max_aspect_ratio:g} times as long as it is wide."
            )


@dataclass(frozen=True)
class DecodedImage:
    """An image as the inference services see it.

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
    """The image in `data`, a whole PNG or JPEG file.

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
        is_16_bit = image.mode.startswith("I")
        image.load()
        orientation = orientation_of(image.info.get("exif", b""))
        grey = grey_of_16_bit(_uint16(image)) if is_16_bit else _grey_of_8_bit(image)
    except _BROKEN as error:
        raise _broken(kind) from error
    as_stored = not is_16_bit and orientation == UPRIGHT
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
    problem = None
    if getattr(image, "n_frames", 1) > 1:
        problem = "several images (animated)"
    elif "A" in image.getbands() or "transparency" in image.info:
        problem = "an alpha channel"
    elif image.mode == "CMYK":
        problem = "CMYK colours"
    elif image.mode == "P":
        problem = "a colour palette"
    elif image.mode not in ("1", "L", "RGB", "I", "I;16", "I;16B"):
        problem = f"pixels of the kind {image.mode}"
    if problem is not None:
        raise Unprocessable(f"The {kind.upper()} has {problem}. Accepted: {ACCEPTED}.")


def _uint16(image: Image.Image) -> NDArray[np.uint16]:
    return np.asarray(image).astype(np.uint16, copy=False)


def _grey_of_8_bit(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _broken(kind: str) -> Unprocessable:
    return Unprocessable(
        f"The {kind.upper()} is broken or cut short and cannot be decoded. Accepted: {ACCEPTED}."
    )


def bit_depth(values: NDArray[np.uint16]) -> int:
    """How many bits of `values`, uint16 [H, W], carry the image; one of `DEPTHS`."""
    counts = np.bincount(values.ravel(), minlength=1 << 16)
    above = values.size - np.cumsum(counts)
    for depth in DEPTHS:
        if above[(1 << depth) - 1] <= _BRIGHTEST_SHARE * values.size:
            return depth
    return DEPTHS[-1]


def grey_of_16_bit(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """uint16 [H, W] to uint8 [H, W]: linear, 0 to 0 and the top of the depth to 255, rounded."""
    top = (1 << bit_depth(values)) - 1
    ramp = np.minimum(np.arange(1 << 16, dtype=np.uint32), top)
    lookup = ((ramp * 255 + top // 2) // top).astype(np.uint8)
    return lookup[values]


def orientation_of(exif: bytes) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where the block is broken or silent.

    A broken EXIF block does not make an image unreadable: viewers ignore it, and so does this.
    """
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(_ORIENTATION_TAG, UPRIGHT)
    except Exception:  # Pillow's TIFF reader raises freely on damaged input
        return UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def upright(grey: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`grey` as a person sees it; [H, W], or [W, H] for orientations 5 to 8 (Exif 2.32, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1, :]
    return np.ascontiguousarray(grey)
