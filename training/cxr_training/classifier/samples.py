"""Radiographs as training samples: labels, patients, splits and source sizes, checked."""

import hashlib
from collections import Counter
from collections.abc import Collection as Values
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_contracts import Finding
from cxr_training.data.collection import Collection, label_file, read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import width_of
from cxr_training.data.splits import Split

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
    `views` are the data set's own letters, empty where unknown. `synthetic` says whether a
    generator made it.
    """

    paths: tuple[Path, ...]
    patients: npt.NDArray[np.str_]
    targets: npt.NDArray[np.float32]
    sources: npt.NDArray[np.str_]
    ages: npt.NDArray[np.int64]
    sexes: npt.NDArray[np.str_]
    views: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    synthetic: npt.NDArray[np.bool_]
    patient_splits: dict[str, Split]

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, split: Split) -> npt.NDArray[np.intp]:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(self.splits == split.value)


def judged_targets(
    samples: Samples, judged_on: Mapping[Finding, Values[str]]
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


def synthetic_alone(samples: Samples, where: Path) -> Samples:
    """The samples without the real images of training patients; validation stays as it is.

    Args:
        samples: real and synthetic ones.
        where: what to name in the error.

    Raises:
        DataError: there is no synthetic image.
    """
    if not samples.synthetic.any():
        raise DataError(where, "has no synthetic image, and training.shown asks for them alone")
    real = (samples.splits == Split.TRAIN.value) & ~samples.synthetic
    return replace(samples, splits=np.where(real, _UNUSED, samples.splits))


def source_of(width_px: int) -> str:
    """The size class of a source image."""
    if width_px >= LARGE_PX:
        return "large"
    return "medium" if width_px >= MEDIUM_PX else "small"


def read_samples(root: Path | None, manifests: Sequence[Path] = ()) -> Samples:
    """All radiographs of NIH's layout under `root` and of `manifests`, checked and counted.

    Args:
        root: folder in NIH's layout; None for manifests alone.
        manifests: CSV manifests of a site's own, or of synthetic images.

    Raises:
        DataError: what `read_collection` raises; a file that is no image; a label without a
            positive image among training or validation patients.
    """
    samples = as_samples(read_collection(root, manifests))
    _check_classes(samples, label_file(root, manifests))
    return samples


def as_samples(collection: Collection) -> Samples:
    """The radiographs of a collection, in its order; DataError for a file that is no image."""
    images = collection.images
    # A hundred thousand headers take seconds, or minutes from a network's disk.
    bar = tqdm(images, desc="headers", unit="image", delay=2)
    return Samples(
        paths=tuple(image.path for image in images),
        patients=np.array([image.patient for image in images]),
        targets=np.array(
            [[label in image.findings for label in LABELS] for image in images], dtype=np.float32
        ),
        sources=np.array([source_of(width_of(image.path)) for image in bar]),
        ages=np.array([image.age_years for image in images], dtype=np.int64),
        sexes=np.array([image.sex for image in images]),
        views=np.array([image.view for image in images]),
        splits=np.array([collection.splits[image.patient].value for image in images]),
        synthetic=np.array([image.synthetic for image in images], dtype=np.bool_),
        patient_splits=collection.splits,
    )


def joined(first: Samples, second: Samples) -> Samples:
    """Both, the rows of `first` before those of `second`.

    Raises:
        ValueError: a patient whom they put in two splits.
    """
    both = first.patient_splits.keys() & second.patient_splits.keys()
    torn = [x for x in sorted(both) if first.patient_splits[x] is not second.patient_splits[x]]
    if torn:
        raise ValueError(f"patient {torn[0]} is in two splits")
    columns: dict[str, Any] = {}
    for column in fields(first):
        mine, theirs = getattr(first, column.name), getattr(second, column.name)
        if isinstance(mine, np.ndarray):
            columns[column.name] = np.concatenate([mine, theirs])
        elif isinstance(mine, tuple):
            columns[column.name] = (*mine, *theirs)
    return Samples(**columns, patient_splits=first.patient_splits | second.patient_splits)


def _position(patient: str) -> float:
    """Where the patient stands between 0 and 1, independent of the split's own hash."""
    digest = hashlib.sha256(f"cxr-share-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _check_classes(samples: Samples, labels: Path) -> None:
    sizes = Counter(samples.splits.tolist())
    for split in (Split.TRAIN, Split.VALIDATION):
        if not sizes[split.value]:
            raise DataError(labels, f"no image belongs to a {split.value} patient")
        positives = samples.targets[samples.rows(split)].sum(axis=0)
        empty = [label.value for label, n in zip(LABELS, positives, strict=True) if n == 0]
        if empty:
            raise DataError(
                labels, f"no {split.value} image is positive for {', '.join(empty)}: add images"
            )
