"""From the bytes of a DICOM file to its pixels as they are stored, before any display."""

from typing import Any

from numpy.typing import NDArray

from cxr_gateway.imaging.dicom.file import read_dicom
from cxr_gateway.imaging.dicom.header import read_header
from cxr_gateway.imaging.dicom.pixels import first_frame
from cxr_gateway.imaging.limits import Limits
from cxr_serving.imaging.decoding import decoding


def read_frame(data: bytes, *, limits: Limits) -> NDArray[Any]:
    """The first frame's stored values: integers of 8 to 32 bits, [H, W], or [H, W, 3] in colour.

    Raises:
        UnsupportedMedia, Unprocessable, PayloadTooLarge: as `read_upload`.
    """
    limits.check_bytes(len(data))
    with decoding("DICOM file"):
        ds, syntax = read_dicom(data, limits)
        values = first_frame(ds, syntax, read_header(ds, limits)).values
        return values.astype(values.dtype.newbyteorder("="), copy=False)
