"""How the pixels lie: turned and mirrored as the patient stands, and made square.

Boxes, maps and exports are in pixels of the image that comes out of here.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxr_gateway.core.schemas import PixelSpacing, SpacingSource
from cxr_gateway.imaging.dicom.tags import reals, tag_name
from cxr_gateway.imaging.limits import Limits
from cxr_serving.imaging import UPRIGHT, orientation_by, upright

_Grey = TypeVar("_Grey", np.uint8, np.uint16)

# Pixels may be out of square by a rounding of the spacing; beyond five to one the tag is wrong.
_ASPECT_TOLERANCE = 0.01
_MAX_ASPECT = 5.0


def hung(grey: NDArray[_Grey], ds: Dataset) -> tuple[NDArray[_Grey], int, list[str]]:
    r"""The image as a frontal radiograph is hung: the patient's left to the right, feet down.

    PatientOrientation (PS3.3, C.7.6.1.1.1) says where rows and columns run. It is followed where
    it speaks of a frontal image; the usual `L\F`, other values and silence change nothing.

    Returns:
        The image, the EXIF code of the turn, and a note if there was one.
    """
    orientation = turn_of(ds)
    if orientation is None or orientation == UPRIGHT:
        return grey, UPRIGHT, []
    told = "\\".join(map(str, ds["PatientOrientation"].value))
    note = f"{tag_name('PatientOrientation')} is {told}: turned to hang as usual."
    return upright(grey, orientation), orientation, [note]


def turn_of(ds: Dataset) -> int | None:
    """The EXIF code by which PatientOrientation hangs a frontal image; None where it says none."""
    value = ds.get("PatientOrientation")
    if not isinstance(value, list | MultiValue) or len(value) != 2:
        return None
    row, column = (str(one).strip().upper()[:1] for one in value)
    transposed = row in ("F", "H")
    rows_run, columns_run = (column, row) if transposed else (row, column)
    if rows_run not in ("L", "R") or columns_run not in ("F", "H"):
        return None
    return orientation_by(
        transposed=transposed, mirrored=rows_run == "R", upside_down=columns_run == "H"
    )


def squared(grey: NDArray[_Grey], ds: Dataset, limits: Limits) -> tuple[NDArray[_Grey], list[str]]:
    """The image with square pixels; `grey` has rows and columns as they are stored.

    The shorter side of a pixel is kept, so that nothing is lost, while `limits` allow that.
    """
    keyword, aspect = _aspect(ds)
    if keyword is None or abs(aspect - 1.0) <= _ASPECT_TOLERANCE:
        return grey, []
    if not 1.0 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        return grey, [f"{tag_name(keyword)} says pixels of {aspect:.3g} to 1 and was passed over."]
    rows, columns = grey.shape
    stretch = aspect > 1.0
    if grey.size * max(aspect, 1.0 / aspect) > limits.max_pixels:
        stretch = not stretch
    size = (columns, round(rows * aspect)) if stretch else (round(columns / aspect), rows)
    # Pillow resizes 8 bits and floating point alone.
    image = grey if grey.dtype == np.uint8 else grey.astype(np.float32)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    note = f"{tag_name(keyword)} says pixels of {aspect:.3g} to 1: made square."
    return resized if grey.dtype == np.uint8 else np.rint(resized).astype(grey.dtype), [note]


def spacing_of(ds: Dataset, shrunk: float) -> PixelSpacing | None:
    """How large a pixel is, by PS3.3, 10.7.1.3; None where the file does not say.

    Args:
        ds: the data set.
        shrunk: rows of the file for a row of the image with square pixels.
    """
    calibrated, detector = (_millimetres(ds, x) for x in ("PixelSpacing", "ImagerPixelSpacing"))
    # Equal ones say that nobody calibrated: the size is that at the detector.
    if calibrated is not None and calibrated != detector:
        return PixelSpacing(mm=calibrated * shrunk, source=SpacingSource.CALIBRATED)
    if detector is not None:
        return PixelSpacing(mm=detector * shrunk, source=SpacingSource.DETECTOR)
    return None


def _millimetres(ds: Dataset, keyword: str) -> float | None:
    """From a row to the next."""
    numbers = reals(ds, keyword)
    if numbers is None or len(numbers) != 2 or min(numbers) <= 0.0:
        return None
    return numbers[0]


def _aspect(ds: Dataset) -> tuple[str | None, float]:
    """The height of a pixel over its width, and the element that says so."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        numbers = reals(ds, keyword)
        if numbers is not None and len(numbers) == 2 and min(numbers) > 0.0:
            return keyword, numbers[0] / numbers[1]
    return None, 1.0
