"""JPEG (ISO/IEC 10918-1): a walk over the markers within the limits, then Pillow."""

from io import BytesIO

import numpy as np
from PIL import JpegImagePlugin

from cxr_serving.errors import Unprocessable, UnsupportedMedia
from cxr_serving.imaging.codestream import (
    APP1,
    SOS,
    Frame,
    check_scans,
    is_frame_marker,
    jpeg_frame,
    jpeg_segments,
)
from cxr_serving.imaging.colour import Grey, colour_refusal, grey_of_rgb
from cxr_serving.imaging.decoding import decoding
from cxr_serving.imaging.limits import ImageLimits
from cxr_serving.imaging.orientation import UPRIGHT, orientation_of, upright
from cxr_serving.imaging.result import DecodedImage, GreyImage

_EXIF_PREFIX = b"Exif\x00\x00"
# Frames that Pillow's libjpeg-turbo decodes: baseline, extended, progressive; Huffman and
# arithmetic. The others are lossless or hierarchical.
_DECODABLE = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})


def decode_jpeg(data: bytes, limits: ImageLimits) -> DecodedImage:
    """The upright grey image.

    Raises:
        UnsupportedMedia: CMYK.
        Unprocessable: damaged, truncated, not 8-bit, lossless, too small or oblong.
        PayloadTooLarge: the header declares too many pixels.
    """
    orientation = _walk(data, limits)
    with decoding("JPEG"):
        grey, in_colour = _grey(data)
    return DecodedImage(upright(grey, orientation), "jpeg", orientation, in_colour)


def _grey(data: bytes) -> Grey:
    image = JpegImagePlugin.JpegImageFile(BytesIO(data))
    if image.mode == "L":
        return np.asarray(image), None
    # Luma and chroma as they are stored: no conversion to RGB and back, which costs time and
    # rounding. Files that store RGB itself (Adobe transform 0) cannot be read this way.
    if image.mode == "RGB" and image.info.get("adobe_transform") != 0 and _is_ycc(image):
        image.draft("YCbCr", None)
        luminance, blue_difference, red_difference = image.split()
        refused = _chroma_refusal(np.asarray(blue_difference), np.asarray(red_difference))
        return np.asarray(luminance), refused
    red, green, blue = image.convert("RGB").split()
    return grey_of_rgb(np.asarray(red), np.asarray(green), np.asarray(blue), "JPEG")


def _is_ycc(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether libjpeg takes the three components for YCbCr: not if their ids spell RGB."""
    return [layer[0] for layer in image.layer] != [ord("R"), ord("G"), ord("B")]


def _chroma_refusal(blue_difference: GreyImage, red_difference: GreyImage) -> str | None:
    """Colour by the same measure as elsewhere: max - min of RGB, here from the chroma planes."""
    counts = np.zeros(512, dtype=np.int64)
    pairs = np.bincount(
        blue_difference.ravel().astype(np.uint16) << 8 | red_difference.ravel(), minlength=1 << 16
    ).reshape(256, 256)
    difference = np.arange(256) - 128.0
    to_blue, to_red = np.meshgrid(1.772 * difference, 1.402 * difference, indexing="ij")
    to_green = -0.344136 * difference[:, None] - 0.714136 * difference[None, :]
    channels = np.stack([to_blue, to_red, to_green])
    spread = np.minimum(np.rint(channels.max(axis=0) - channels.min(axis=0)), 511).astype(int)
    np.add.at(counts, spread.ravel(), pairs.ravel())
    return colour_refusal(counts, "JPEG")


def _walk(data: bytes, limits: ImageLimits) -> int:
    """Check the segments, the number of scans and the end marker; returns the orientation."""
    orientation, has_frame = UPRIGHT, False
    for marker, start, end in jpeg_segments(data):
        if marker == SOS:
            if not has_frame:
                raise Unprocessable("The JPEG is damaged: a scan comes before the frame header.")
            check_scans(data, end)
        elif is_frame_marker(marker):
            _check_frame(jpeg_frame(data[start:end]), marker, limits)
            has_frame = True
        elif marker == APP1 and data.startswith(_EXIF_PREFIX, start):
            orientation = orientation_of(data[start:end])
    return orientation


def _check_frame(frame: Frame, marker: int, limits: ImageLimits) -> None:
    limits.check_size(frame.width, frame.height, "JPEG")
    if marker not in _DECODABLE:
        raise Unprocessable(
            "The JPEG is lossless or hierarchical; accepted are baseline and progressive files."
        )
    if frame.precision != 8:
        raise Unprocessable(f"The JPEG has {frame.precision} bits a sample; accepted are 8.")
    if frame.components == 4:
        raise UnsupportedMedia(
            "The JPEG is CMYK; accepted are grey files, and colour files of a grey image."
        )
    if frame.components not in (1, 3):
        raise Unprocessable(f"The JPEG has {frame.components} components; accepted are 1 and 3.")
