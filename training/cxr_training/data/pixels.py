"""The pixels of a radiograph's file, decoded to the last byte."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_serving.imaging import grey_of_16_bit, orientation_of, upright
from cxr_training.data.errors import DataError


def decode_grey(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels of a file as uint8 [H, W], upright; 16 bits become 8 as they do in the services.

    Raises:
        DataError: the file is no image, or a damaged or truncated one.
    """
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith("I")
            grey = (
                grey_of_16_bit(np.asarray(image).astype(np.uint16, copy=False))
                if deep
                else np.asarray(image.convert("L"), dtype=np.uint8)
            )
            return upright(grey, orientation_of(image.info.get("exif", b"")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(path, f"is not a readable image: {_said(error, path)}") from error


def upload_of(path: Path) -> bytes:
    """The file as it could be uploaded: its own bytes, or a PNG of a WebP's decoded pixels.

    The services take no WebP, in which a data set may store its larger images.

    Raises:
        DataError: a WebP that cannot be decoded.
    """
    if path.suffix != ".webp":
        return path.read_bytes()
    stream = BytesIO()
    Image.fromarray(decode_grey(path)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def width_of(path: Path) -> int:
    """The width in pixels that the file's header declares; DataError if it is no image."""
    try:
        with Image.open(path) as image:
            return image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(path, f"is not a readable image: {_said(error, path)}") from error


def _said(error: Exception, path: Path) -> str:
    """Pillow's sentence without the path, which the message has already."""
    return str(error).replace(f" {str(path)!r}", "").replace(f" '{path}'", "")
