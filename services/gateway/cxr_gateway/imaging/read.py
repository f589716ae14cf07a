"""From bytes to a DecodedImage: the kind by content, then that kind's decoder."""

from cxr_gateway.core.schemas import ImageMetadata, ImageSource, StoredPixels
from cxr_gateway.imaging.dicom.decode import decode_dicom
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.result import NO_PATIENT, DecodedImage
from cxr_gateway.imaging.sniff import ACCEPTED, sniff
from cxr_serving.errors import UnsupportedMedia
from cxr_serving.imaging import SIDEWAYS, decode_file
from cxr_serving.sniffing import describe

_DEFAULT_LIMITS = Limits()


def read_upload(data: bytes, *, limits: Limits = _DEFAULT_LIMITS) -> DecodedImage:
    """Decode one uploaded file; the image's size is checked before anything is decoded.

    Args:
        data: the whole file.
        limits: what is too large, too small or too oblong.

    Raises:
        UnsupportedMedia: not a PNG, JPEG or DICOM file, or an animation, CMYK or alpha channel.
        Unprocessable: of an accepted kind, but damaged, multi-frame or without pixels.
        PayloadTooLarge: over the limits in bytes or in declared pixels.
    """
    limits.check_bytes(len(data))
    source = sniff(data)
    if source is None:
        raise UnsupportedMedia(f"The upload is {describe(data)}. {ACCEPTED}")
    if source is ImageSource.DICOM:
        decoded = decode_dicom(data, limits)
        decoded.grey.setflags(write=False)
        return decoded
    found = decode_file(data, limits)
    found.grey.setflags(write=False)
    metadata = ImageMetadata(
        width=found.width,
        height=found.height,
        view=None,
        source=source,
        notes=[],
        stored=stored_pixels(found.height, found.width, found.orientation),
    )
    return DecodedImage(found.grey, metadata, NO_PATIENT, found.in_colour)


def stored_pixels(height: int, width: int, orientation: int) -> StoredPixels:
    """Of an image that was only turned: its size is `height` and `width` as displayed."""
    rows, columns = (width, height) if orientation in SIDEWAYS else (height, width)
    return StoredPixels(columns=columns, rows=rows, orientation=orientation)
