"""From bytes to a StoredImage: the greys of the file itself, at their full depth."""

import numpy as np
from numpy.typing import NDArray

from cxr_gateway.core.schemas import ImageSource, PixelSpacing, StoredGreys
from cxr_gateway.imaging.dicom.decode import decode_stored
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.read import read_upload
from cxr_gateway.imaging.result import StoredImage
from cxr_gateway.imaging.sniff import sniff
from cxr_serving.imaging import bit_depth, values_of_16_bit_png


def read_stored(data: bytes, *, limits: Limits) -> StoredImage:
    """The stored greys of one uploaded file; of a file of 8 bits, or in colour, those displayed.

    Raises:
        UnsupportedMedia, Unprocessable, PayloadTooLarge: as `read_upload`.
    """
    limits.check_bytes(len(data))
    source = sniff(data)
    if source is ImageSource.PNG:
        values = values_of_16_bit_png(data, limits)
        if values is not None:
            return described(values, 0.0, float((1 << bit_depth(values)) - 1))
    if source is ImageSource.DICOM:
        found = decode_stored(data, limits)
        if found is not None:
            return described(
                found.values, found.black, found.white, found.spacing, sided=found.sided
            )
    return described(read_upload(data, limits=limits).grey.astype(np.uint16), 0.0, 255.0)


def described(
    values: NDArray[np.uint16],
    black: float,
    white: float,
    spacing: PixelSpacing | None = None,
    *,
    sided: bool = False,
) -> StoredImage:
    """`values`, with what is to be known of them."""
    darkest, brightest = int(values.min()), int(values.max())
    greys = StoredGreys(
        bits=max(1, brightest.bit_length()),
        darkest=darkest,
        brightest=brightest,
        black=black,
        white=white,
        spacing=spacing,
        sided=sided,
    )
    return StoredImage(values, greys)
