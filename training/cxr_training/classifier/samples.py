"""Radiographs as training samples: labels, patients, splits and source sizes, checked."""

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
MASKED = -1.0
LARGE_PX = 256
MEDIUM_PX = 128
_UNUSED = "unused"
# Patients kept of each class before the others fill up (`with_few_patients`).
_OF_EACH_CLASS = 3
RowArray = npt.NDArray[np.intp]


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

    def rows(self, split: Split) -> RowArray:
        """Row numbers of a split, ascending."""
        return np.flatnonzero(self.splits == split.value)


def masked_targets(
    samples: Samples, sources_by_label: Mapping[Finding, Values[str]]
) -> npt.NDArray[np.float32]:
    """The targets, with `MASKED` for a label where it is not learned from the image's source."""
    targets = samples.targets.copy()
    for label, sources in sources_by_label.items():
        elsewhere = ~np.isin(samples.sources, list(sources))
        targets[elsewhere, LABELS.index(label)] = MASKED
    return targets


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


def added_rows(samples: Samples, to: Mapping[Finding, int], seed: int) -> dict[Finding, RowArray]:
    """Of each label the training rows to show once more, so that it has `to` images in all.

    The label's images take turns, in an order of their own, so that fewer additions are the first
    of more. What else is on an image comes along, and is not counted for other labels: each
    label's additions follow from its own images alone.

    Args:
        samples: a label of `to` without a training image gets none.
        to: images of each label in an epoch; no more than there are adds nothing.
        seed: of the order.
    """
    rows = samples.rows(Split.TRAIN)
    added: dict[Finding, RowArray] = {}
    for label, wanted in to.items():
        column = LABELS.index(label)
        positive = rows[samples.targets[rows, column] > 0]
        order = np.random.default_rng((seed, column)).permutation(positive)
        added[label] = np.resize(order, max(0, wanted - len(positive)) if len(positive) else 0)
    return added


def with_few_patients(samples: Samples, n_patients: int) -> Samples:
    """The samples of the first `n_patients` of the training and of the validation split.

    Patients with a class that has none yet come first, the rarest class before the others; then
    those with a class that has one, and so on; the rest in the order of their numbers. So every
    class stays, as far as the number of patients allows.
    `patient_splits` still names all patients: it describes the data set.
    """
    kept = {
        patient
        for split in (Split.TRAIN, Split.VALIDATION)
        for patient in _first_patients(samples, split, n_patients)
    }
    return taken(samples, np.flatnonzero(np.isin(samples.patients, sorted(kept))))


def taken(samples: Samples, rows: RowArray) -> Samples:
    """Some rows of the samples, as samples."""
    columns: dict[str, Any] = {}
    for column in fields(samples):
        value = getattr(samples, column.name)
        if isinstance(value, np.ndarray):
            columns[column.name] = value[rows]
        elif isinstance(value, tuple):
            columns[column.name] = tuple(value[row] for row in rows)
    return replace(samples, **columns)


def _first_patients(samples: Samples, split: Split, n_patients: int) -> list[str]:
    rows = samples.rows(split)
    patients, owner = np.unique(samples.patients[rows], return_inverse=True)
    has = np.zeros((len(patients), len(LABELS)), dtype=bool)
    np.logical_or.at(has, owner, samples.targets[rows] > 0)
    chosen: dict[int, None] = {}
    rarest_first = np.argsort(has.sum(axis=0), kind="stable")
    for enough in range(1, _OF_EACH_CLASS + 1):
        for label in rarest_first:
            new = [int(one) for one in np.flatnonzero(has[:, label]) if int(one) not in chosen]
            if new and has[list(chosen), label].sum() < enough:
                chosen[new[0]] = None
    chosen |= dict.fromkeys(range(len(patients)))
    return [str(patients[patient]) for patient in list(chosen)[:n_patients]]


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


def concatenated(first: Samples, second: Samples) -> Samples:
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
