"""The pixels of a radiograph's file, decoded to the last byte."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_serving.errors import ServiceError
from cxr_serving.imaging import grey_of_16_bit, orientation_of, upright
from cxr_training.data.errors import DataError

PLAIN_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_LARGEST_BYTES = 500_000_000


def decode_grey(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels of a file as uint8 [H, W], upright; 16 bits become 8 as they do in the services.

    What is no PNG, JPEG or WebP by its name is read as the gateway reads an upload: DICOM files.

    Raises:
        DataError: the file is no image, or a damaged or truncated one.
    """
    if path.suffix.lower() not in PLAIN_SUFFIXES:
        return _read_as_uploaded(path)
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


def through_jpeg(grey: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """What is left of an image [H, W] that was once stored as JPEG of this quality."""
    stream = BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as decoded:
        return np.asarray(decoded, dtype=np.uint8)


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
    if path.suffix.lower() not in PLAIN_SUFFIXES:
        return int(_read_as_uploaded(path).shape[1])
    try:
        with Image.open(path) as image:
            return image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(path, f"is not a readable image: {_said(error, path)}") from error


def _read_as_uploaded(path: Path) -> npt.NDArray[np.uint8]:
    # Its decoders take a while to import, and most data sets need none of them.
    from cxr_gateway.imaging import Limits, read_upload

    try:
        # A data set may hold small copies, and larger files than an upload may have.
        limits = Limits(min_side_px=1, max_bytes=_LARGEST_BYTES)
        return read_upload(path.read_bytes(), limits=limits).grey
    except (OSError, ServiceError) as error:
        said = error.detail if isinstance(error, ServiceError) else str(error)
        raise DataError(path, f"cannot be decoded: {said}") from error


def _said(error: Exception, path: Path) -> str:
    """Pillow's sentence without the path, which the message has already."""
    return str(error).replace(f" {str(path)!r}", "").replace(f" '{path}'", "")
