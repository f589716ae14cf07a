"""From bytes to an DecodedImage: the kind by content, then that kind's decoder."""

from cxr_gateway.core.schemas import ImageMetadata, ImageSource
from cxr_gateway.imaging.dicom.decode import decode_dicom
from cxr_gateway.imaging.jpeg import decode_jpeg
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.png import decode_png
from cxr_gateway.imaging.result import NO_PATIENT, DecodedImage
from cxr_gateway.imaging.sniff import ACCEPTED, sniff
from cxr_serving.errors import UnsupportedMedia
from cxr_serving.sniffing import describe

_DEFAULT_LIMITS = Limits()


def read_upload(data: bytes, *, limits: Limits = _DEFAULT_LIMITS) -> DecodedImage:
    """Decode one uploaded file; the picture's size is checked before anything is decoded.

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
        intake = decode_dicom(data, limits)
        intake.grey.setflags(write=False)
        return intake
    decode = decode_png if source is ImageSource.PNG else decode_jpeg
    picture = decode(data, limits)
    picture.grey.setflags(write=False)
    height, width = picture.grey.shape
    facts = ImageMetadata(width=width, height=height, view=None, source=source)
    return DecodedImage(picture.grey, facts, NO_PATIENT, picture.refused)
