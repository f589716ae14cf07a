"""The images of the detector: radiographs split by patient, and real ones of other things.

Photographs and medical images come with installed packages; nothing is downloaded or copied into
the project. No image both trains and evaluates.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from cxr_gateway.ood import canonical
from cxr_training.data.errors import DataError
from cxr_training.data.nih import read_boxed
from cxr_training.data.pixels import decode_grey
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import NIH_FOLDER, Split, split_sha256

GreyImage = NDArray[np.uint8]

TRAINING_PHOTOGRAPHS = (
    *(f"skimage/data/{name}.png" for name in ("brick", "camera", "cell", "coffee", "coins")),
    *("skimage/data/grass.png", "skimage/data/hubble_deep_field.jpg"),
    *(f"skimage/data/{name}.png" for name in ("ihc", "moon", "motorcycle_left", "page", "logo")),
    *("sklearn/datasets/images/china.jpg", "ultralytics/assets/bus.jpg"),
)
EVALUATION_PHOTOGRAPHS = (
    *(f"skimage/data/{name}.png" for name in ("astronaut", "chelsea", "clock_motion", "color")),
    *(f"skimage/data/{name}.png" for name in ("gravel", "horse", "microaneurysms", "phantom")),
    *("skimage/data/retina.jpg", "skimage/data/rocket.jpg", "skimage/data/text.png"),
    *("sklearn/datasets/images/flower.jpg", "ultralytics/assets/zidane.jpg"),
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
    "matplotlib/mpl-data/sample_data/Minduka_Present_Blue_Pack.png",
)
CHEST_DICOM = "RG1_UNCI.dcm"
# Of pydicom and pydicom-data, without files that repeat an image in another encoding.
MEDICAL_DICOM = {
    "leg radiograph": ("RG3_UNCI.dcm",),
    "CT": (
        *("693_UNCI.dcm", "693_J2KR.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm"),
        *("explicit_VR-UN.dcm", "bad_sequence.dcm", "eCT_Supplemental.dcm"),
    ),
    "MR": ("MR_small.dcm", "examples_overlay.dcm", "MR2_UNCI.dcm", "emri_small.dcm"),
    "ultrasound": (
        *("US1_UNCI.dcm", "examples_palette.dcm", "examples_ybr_color.dcm"),
        *("gdcm-US-ALOKA-16.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "color-pl.dcm"),
        "ExplVR_BigEnd.dcm",
    ),
    "scintigraphy": ("JPGExtended.dcm", "JPEG-LL.dcm"),
    "test card or mask": (
        *("image_dfl.dcm", "mlut_18.dcm", "GDCMJ2K_TextGBR.dcm", "SC_rgb_rle.dcm"),
        "liver_1frame.dcm",
    ),
}


@dataclass(frozen=True, slots=True)
class OodData:
    """NIH radiographs to fit, to set the threshold, and to validate; no patient in two of them."""

    fit: list[Radiograph]
    calibration: list[Radiograph]
    validation: list[Radiograph]
    split_sha256: str


def read_ood_data(data: Path, calibration_percent: int) -> OodData:
    """Split NIH's images in `data`, or in its `nih/` where it holds several sets.

    Patients of the training split are divided once more, because a threshold set on images that
    the network was fitted to would be too strict. DataError as in `read_boxed`.
    """
    boxed = read_boxed(data / NIH_FOLDER if (data / NIH_FOLDER).is_dir() else data)
    train = boxed.of(Split.TRAIN)
    return OodData(
        fit=[image for image in train if _bucket(image.patient) >= calibration_percent],
        calibration=[image for image in train if _bucket(image.patient) < calibration_percent],
        validation=boxed.of(Split.VALIDATION),
        split_sha256=split_sha256(boxed.splits),
    )


def read_small(images: list[Radiograph], side_px: int) -> GreyImage:
    """All of `images` at `side_px`, uint8 [N, side_px, side_px]; about 1 ms each."""
    small = np.empty((len(images), side_px, side_px), np.uint8)
    for i, image in enumerate(images):
        small[i] = np.rint(canonical(decode_grey(image.path), side_px)[0] * 255)
    return small


def packaged_file(path: str) -> Path:
    """Where an installed package keeps `package/path`; DataError if it is not there."""
    package, _, inner = path.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(Path(package), "is not installed (requirements/dev.in names it)")
    file = Path(next(iter(spec.submodule_search_locations))) / inner
    if not file.exists():
        raise DataError(file, f"is not in the installed {package}")
    return file


def read_photograph(path: str) -> GreyImage:
    """A packaged photograph as uint8 [H, W]; transparency on white."""
    with Image.open(packaged_file(path)) as image:
        rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(ground, rgba).convert("L"), dtype=np.uint8)


def read_faces() -> GreyImage:
    """scikit-image's part of Labeled Faces in the Wild: uint8 [200, 25, 25], half of them faces."""
    faces = np.load(packaged_file("skimage/data/lfw_subset.npy"))
    grey: GreyImage = np.rint(faces * 255).astype(np.uint8)
    return grey


def random_part(rng: np.random.Generator, image: GreyImage, *, smallest: float) -> GreyImage:
    """A random rectangle of an image, each side between `smallest` and the whole."""
    height, width = image.shape
    part_h = max(8, int(height * rng.uniform(smallest, 1.0)))
    part_w = min(width, max(8, int(part_h * rng.uniform(0.7, 1.4))))
    top = int(rng.integers(0, height - part_h + 1))
    left = int(rng.integers(0, width - part_w + 1))
    return image[top : top + part_h, left : left + part_w]


def photograph_crops(rng: np.random.Generator, n: int, side_px: int) -> GreyImage:
    """Random parts of the training photographs, uint8 [n, side_px, side_px]."""
    photographs = [read_photograph(path) for path in TRAINING_PHOTOGRAPHS]
    crops = np.empty((n, side_px, side_px), np.uint8)
    for i in range(n):
        part = random_part(rng, photographs[i % len(photographs)], smallest=0.15)
        crops[i] = np.rint(canonical(part, side_px)[0] * 255)
    return crops


def read_medical(name: str) -> list[GreyImage]:
    """A packaged DICOM file as uint8 [H, W]: by its window, and over its whole range.

    One image where both are the same. Of several frames the first.

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
    whole = _bone_bright(_stretched(pixels), dataset)
    windowed = _bone_bright(_stretched(apply_voi_lut(pixels, dataset)), dataset)
    same = np.abs(canonical(whole, 32) - canonical(windowed, 32)).max() < 0.02
    return [windowed] if same else [windowed, whole]


def _bucket(patient: str) -> int:
    # The constant is part of the published model's split.
    digest = hashlib.sha256(f"cxr-gate-calibration-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100


def _bone_bright(image: GreyImage, dataset: Dataset) -> GreyImage:
    return 255 - image if dataset.PhotometricInterpretation == "MONOCHROME1" else image


def _stretched(pixels: NDArray[np.generic]) -> GreyImage:
    values = pixels.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    scaled: GreyImage = np.rint((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
    return scaled
