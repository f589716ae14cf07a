"""Which accepted kind an upload is, by its first bytes."""

from cxr_gateway.core.schemas import ImageSource
from cxr_serving.sniffing import JPEG_SIGNATURE, PNG_SIGNATURE

ACCEPTED = "Accepted are PNG, JPEG and DICOM files of one grey radiograph."

DICOM_PREAMBLE_BYTES = 128
# A DICOM file without its preamble starts with the file meta group (explicit VR, so the
# letters UL stand in it) or with the first element of group 0008, in either order of bytes.
_DICOM_BARE = (
    b"\x02\x00\x00\x00UL",
    b"\x08\x00\x00\x00\x04\x00\x00\x00",
    b"\x08\x00\x00\x00UL",
    b"\x08\x00\x05\x00",
    b"\x08\x00\x08\x00",
    b"\x08\x00\x16\x00",
    b"\x00\x08\x00\x00UL",
    b"\x00\x08\x00\x05CS",
    b"\x00\x08\x00\x08CS",
    b"\x00\x08\x00\x16UI",
)


def sniff(data: bytes) -> ImageSource | None:
    """The accepted kind that `data` starts like; None if it is none of them."""
    if data.startswith(PNG_SIGNATURE):
        return ImageSource.PNG
    if data.startswith(JPEG_SIGNATURE):
        return ImageSource.JPEG
    if data[DICOM_PREAMBLE_BYTES : DICOM_PREAMBLE_BYTES + 4] == b"DICM":
        return ImageSource.DICOM
    if data.startswith(_DICOM_BARE):
        return ImageSource.DICOM
    return None
