"""NIH's radiographs as training samples: labels, patients, splits and source sizes, checked."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cxr_contracts import Finding
from cxr_training.data.errors import DataError
from cxr_training.data.nih import (
    patient_of,
    read_boxes,
    read_images,
    read_official_test_patients,
)
from cxr_training.data.splits import Split, assign_splits

LABELS = tuple(Finding)
# In place of a target: the loss ignores the label on this image.
UNJUDGED = -1.0
LARGE_PX = 256
MEDIUM_PX = 128
_UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Samples:
    """Radiographs, one row each.

    `targets` is float32 [N, 14] of 0 and 1 in the order of `Finding`; `sources` says of each how
    large its file is (`large`, `medium`, `small`). `ages` are years, -1 where unknown; `sexes` and
    `views` are the data set's own letters, empty where unknown.
    """

    paths: tuple[Path, ...]
    patients: npt.NDArray[np.str_]
    targets: npt.NDArray[np.float32]
    sources: npt.NDArray[np.str_]
    ages: npt.NDArray[np.int64]
    sexes: npt.NDArray[np.str_]
    views: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    patient_splits: dict[str, Split]

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, split: Split) -> npt.NDArray[np.intp]:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(self.splits == split.value)


def judged_targets(
    samples: Samples, judged_on: Mapping[Finding, Collection[str]]
) -> npt.NDArray[np.float32]:
    """The targets, with `UNJUDGED` for a label on an image whose source it is not judged on."""
    targets = samples.targets.copy()
    for label, sources in judged_on.items():
        elsewhere = ~np.isin(samples.sources, list(sources))
        targets[elsewhere, LABELS.index(label)] = UNJUDGED
    return targets


def with_patient_share(samples: Samples, share: float) -> Samples:
    """The samples with a share of the training patients, the same ones whenever it is asked."""
    if share >= 1:
        return samples
    kept = {
        patient
        for patient in samples.patient_splits
        if _position(patient) < share or samples.patient_splits[patient] is not Split.TRAIN
    }
    inside = np.isin(samples.patients, sorted(kept))
    return replace(samples, splits=np.where(inside, samples.splits, _UNUSED))


def source_of(width_px: int) -> str:
    """The size class of a source image."""
    if width_px >= LARGE_PX:
        return "large"
    return "medium" if width_px >= MEDIUM_PX else "small"


def read_samples(root: Path) -> Samples:
    """All radiographs of NIH's layout under `root`, with headers read and labels counted.

    Raises:
        DataError: what `read_images` and `read_boxes` raise; a file that is no image; a label
            without a positive image among training or validation patients.
    """
    images = read_images(root)
    splits = assign_splits(
        (image.patient for image in images),
        official_test=read_official_test_patients(root),
        boxed={patient_of(name) for name in read_boxes(root)},
    )
    targets = np.array(
        [[label in image.findings for label in LABELS] for image in images], dtype=np.float32
    )
    samples = Samples(
        paths=tuple(image.path for image in images),
        patients=np.array([image.patient for image in images]),
        targets=targets,
        sources=np.array([source_of(_width_px(image.path)) for image in images]),
        ages=np.array([image.age_years for image in images], dtype=np.int64),
        sexes=np.array([image.sex for image in images]),
        views=np.array([image.view for image in images]),
        splits=np.array([splits[image.patient].value for image in images]),
        patient_splits=splits,
    )
    _check_classes(samples, root)
    return samples


def decode_grey(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels of a file as uint8 [H, W].

    Raises:
        DataError: the file is no image, or a truncated one.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(path, f"is not a readable image: {error}") from error


def _position(patient: str) -> float:
    """Where the patient stands between 0 and 1, independent of the split's own hash."""
    digest = hashlib.sha256(f"cxr-share-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _width_px(path: Path) -> int:
    try:
        with Image.open(path) as image:
            return image.width
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(path, f"is not a readable image: {error}") from error


def _check_classes(samples: Samples, root: Path) -> None:
    sizes = Counter(samples.splits.tolist())
    for split in (Split.TRAIN, Split.VALIDATION):
        if not sizes[split.value]:
            raise DataError(root, f"no image belongs to a {split.value} patient")
        positives = samples.targets[samples.rows(split)].sum(axis=0)
        empty = [label.value for label, n in zip(LABELS, positives, strict=True) if n == 0]
        if empty:
            raise DataError(
                root, f"no {split.value} image is positive for {', '.join(empty)}: add images"
            )
