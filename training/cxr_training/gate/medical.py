"""Real medical pictures that are no chest radiographs, from pydicom's and pydicom-data's files.

None of them is trained on: a leg, CT, MR, ultrasound and scintigraphy judge the gate as kinds
that it has never met. Files that hold the same picture in another encoding are left out.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from cxr_gateway.gate import canonical
from cxr_training.data.errors import DataError

CHEST_FILE = "RG1_UNCI.dcm"
MEDICAL_FILES = {
    "leg radiograph": ("RG3_UNCI.dcm",),
    "CT": (
        "693_UNCI.dcm",
        "693_J2KR.dcm",
        "CT_small.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "explicit_VR-UN.dcm",
        "bad_sequence.dcm",
        "eCT_Supplemental.dcm",
    ),
    "MR": ("MR_small.dcm", "examples_overlay.dcm", "MR2_UNCI.dcm", "emri_small.dcm"),
    "ultrasound": (
        "US1_UNCI.dcm",
        "examples_palette.dcm",
        "examples_ybr_color.dcm",
        "gdcm-US-ALOKA-16.dcm",
        "JPGLosslessP14SV1_1s_1f_8b.dcm",
        "color-pl.dcm",
        "ExplVR_BigEnd.dcm",
    ),
    "scintigraphy": ("JPGExtended.dcm", "JPEG-LL.dcm"),
    "test card or mask": (
        "image_dfl.dcm",
        "mlut_18.dcm",
        "GDCMJ2K_TextGBR.dcm",
        "SC_rgb_rle.dcm",
        "liver_1frame.dcm",
    ),
}


def read_medical(name: str) -> list[NDArray[np.uint8]]:
    """A packaged DICOM file as uint8 [H, W]: by its window, and over its whole range.

    One picture where both are the same. Of several frames the first.

    Raises:
        DataError: the file is not among the installed ones.
    """
    found = get_testdata_file(name, download=False)
    if not isinstance(found, str):
        raise DataError(Path(name), "is not among pydicom's files (install pydicom-data)")
    dataset = dcmread(found)
    pixels = pixel_array(dataset, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
    if pixels.ndim == 3:
        return [_stretched(pixels.astype(np.float64).mean(axis=2))]
    whole = _turned(_stretched(pixels), dataset)
    windowed = _turned(_stretched(apply_voi_lut(pixels, dataset)), dataset)
    same = np.abs(canonical(whole, 32) - canonical(windowed, 32)).max() < 0.02
    return [windowed] if same else [windowed, whole]


def _turned(picture: NDArray[np.uint8], dataset: Dataset) -> NDArray[np.uint8]:
    return 255 - picture if dataset.PhotometricInterpretation == "MONOCHROME1" else picture


def _stretched(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    scaled: NDArray[np.uint8] = np.rint((values - low) / max(high - low, 1e-9) * 255).astype(
        np.uint8
    )
    return scaled
