"""How the pixels lie: turned and mirrored as the patient stands, and made square.

Boxes, maps and exports are in pixels of the image that comes out of here.
"""

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxr_gateway.imaging.dicom.tags import reals, tag_name
from cxr_gateway.imaging.limits import Limits
from cxr_gateway.imaging.result import GreyImage

# Pixels may be out of square by a rounding of the spacing; beyond five to one the tag is wrong.
_ASPECT_TOLERANCE = 0.01
_MAX_ASPECT = 5.0


def upright(grey: GreyImage, ds: Dataset) -> tuple[GreyImage, list[str]]:
    r"""The image as a frontal radiograph is hung: the patient's left to the right, feet down.

    PatientOrientation (PS3.3, C.7.6.1.1.1) says where rows and columns run. It is followed where
    it speaks of a frontal image; the usual `L\F`, other values and silence change nothing.
    """
    value = ds.get("PatientOrientation")
    if not isinstance(value, list | MultiValue) or len(value) != 2:
        return grey, []
    row, column = (str(one).strip().upper()[:1] for one in value)
    if {row, column} & {"F", "H"} == {row}:
        turned, rows_run, columns_run = grey.T, column, row
    else:
        turned, rows_run, columns_run = grey, row, column
    if rows_run not in ("L", "R") or columns_run not in ("F", "H"):
        return grey, []
    if rows_run == "R":
        turned = turned[:, ::-1]
    if columns_run == "H":
        turned = turned[::-1]
    if turned is grey:
        return grey, []
    told = "\\".join(map(str, value))
    note = f"{tag_name('PatientOrientation')} is {told}: turned to hang as usual."
    return np.ascontiguousarray(turned), [note]


def squared(grey: GreyImage, ds: Dataset, limits: Limits) -> tuple[GreyImage, list[str]]:
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
    image = Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR)
    note = f"{tag_name(keyword)} says pixels of {aspect:.3g} to 1: made square."
    return np.asarray(image), [note]


def _aspect(ds: Dataset) -> tuple[str | None, float]:
    """The height of a pixel over its width, and the element that says so."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        numbers = reals(ds, keyword)
        if numbers is not None and len(numbers) == 2 and min(numbers) > 0.0:
            return keyword, numbers[0] / numbers[1]
    return None, 1.0
