"""The radiographs that the gate learns from and is judged by, split by patient."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_gateway.gate import canonical
from cxr_training.data.nih import read_boxes, read_images, read_official_test_patients
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, assign_splits, split_sha256


@dataclass(frozen=True, slots=True)
class GateData:
    """NIH radiographs: to fit, to set the threshold, and to judge; no patient in two of them."""

    fit: list[Radiograph]
    calibration: list[Radiograph]
    validation: list[Radiograph]
    split_sha256: str


def nih_root(data: Path) -> Path:
    """The folder of NIH's files: `data` itself, or its `nih/` where it holds several sets."""
    return data / "nih" if (data / "nih").is_dir() else data


def read_gate_data(root: Path, calibration_percent: int) -> GateData:
    """Split NIH's images under `root`.

    Patients of the training split are divided once more, because a threshold set on pictures
    that the network was fitted to would be too strict. DataError as in `read_images`.
    """
    images = read_images(root)
    by_name = {image.name: image.patient for image in images}
    boxed = {by_name[name] for name in read_boxes(root) if name in by_name}
    splits = assign_splits(
        by_name.values(), official_test=read_official_test_patients(root), boxed=boxed
    )
    train = [image for image in images if splits[image.patient] is Split.TRAIN]
    calibration = [image for image in train if _bucket(image.patient) < calibration_percent]
    return GateData(
        fit=[image for image in train if _bucket(image.patient) >= calibration_percent],
        calibration=calibration,
        validation=[image for image in images if splits[image.patient] is Split.VALIDATION],
        split_sha256=split_sha256(splits),
    )


def read_grey(path: Path) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)


def read_small(images: list[Radiograph], side_px: int) -> NDArray[np.uint8]:
    """All of `images` at `side_px`, uint8 [N, side_px, side_px]; about 1 ms each."""
    small = np.empty((len(images), side_px, side_px), np.uint8)
    for i, image in enumerate(images):
        small[i] = np.rint(canonical(read_grey(image.path), side_px)[0] * 255)
    return small


def _bucket(patient: str) -> int:
    digest = hashlib.sha256(f"cxr-gate-calibration-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100
