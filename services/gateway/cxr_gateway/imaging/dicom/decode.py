"""DICOM (PS3) to an DecodedImage: tags first, then the header, then the pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from cxr_gateway.core.schemas import ImageMetadata, ImageSource
from cxr_gateway.imaging.colour import luma
from cxr_gateway.imaging.decoding import decoding
from cxr_gateway.imaging.dicom.display import to_grey
from cxr_gateway.imaging.dicom.file import read_dicom
from cxr_gateway.imaging.dicom.header import PixelHeader, read_header, require_radiograph
from cxr_gateway.imaging.dicom.metadata import patient_of
from cxr_gateway.imaging.dicom.pixels import check_syntax, first_frame
from cxr_gateway.imaging.dicom.suitability import refusal_by_tags, view_of
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.result import DecodedImage, GreyImage


def decode_dicom(data: bytes, limits: Limits) -> DecodedImage:
    """One DICOM file; what is no single grey frame is decoded only where the tags refuse it anyway.

    A file whose tags name another modality, body part or view is not an error: it becomes a
    rejected study, shown by its first frame. Everything else has to be a radiograph.

    Raises:
        UnsupportedMedia: not DICOM after all.
        Unprocessable: the tag at fault is named.
        PayloadTooLarge: too many pixels, by the header.
    """
    with decoding("DICOM file"):
        ds, syntax = read_dicom(data, limits)
        refused = refusal_by_tags(ds)
        header = read_header(ds, limits)
        check_syntax(syntax)
        if refused is None:
            require_radiograph(header)
        grey = _grey(first_frame(ds, syntax, header), ds, header)
        facts = ImageMetadata(
            width=header.columns, height=header.rows, view=view_of(ds), source=ImageSource.DICOM
        )
        return DecodedImage(grey, facts, patient_of(ds), refused)


def _grey(values: NDArray[Any], ds: Dataset, header: PixelHeader) -> GreyImage:
    if header.photometric == "PALETTE COLOR":
        values = apply_color_lut(values, ds)
    if values.ndim == 3:
        red, green, blue = np.moveaxis(_to_8_bits(values), 2, 0)
        return luma(red, green, blue)
    if values.dtype.itemsize > 2:
        return _stretched(values)
    return to_grey(values, ds, header)


def _to_8_bits(values: NDArray[Any]) -> GreyImage:
    shift = 8 * (values.dtype.itemsize - 1)
    return (values.astype(np.uint32) >> shift).astype(np.uint8) if shift else values


def _stretched(values: NDArray[Any]) -> GreyImage:
    """Dose maps and the like, which are only shown to say what was rejected."""
    low, high = float(values.min()), float(values.max())
    return np.rint((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)
