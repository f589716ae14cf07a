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
RowArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Samples:
    """Radiographs, one row each.

    `targets` is float32 [N, L] of 0 and 1 in the order of `labels`, and of `MASKED` where nothing
    is known, which is of training images alone; `sources` says of each how
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
    labels: tuple[Finding, ...] = LABELS

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
        targets[elsewhere, samples.labels.index(label)] = MASKED
    return targets


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
        column = samples.labels.index(label)
        positive = rows[samples.targets[rows, column] > 0]
        order = np.random.default_rng((seed, column)).permutation(positive)
        added[label] = np.resize(order, max(0, wanted - len(positive)) if len(positive) else 0)
    return added


def with_few_patients(samples: Samples, n_patients: int) -> Samples:
    """The samples of the first `n_patients` of the training and of the validation split.

    `patient_splits` still names all patients: it describes the data set.
    """
    kept = [
        np.unique(samples.patients[samples.rows(split)])[:n_patients]
        for split in (Split.TRAIN, Split.VALIDATION)
    ]
    rows = np.flatnonzero(np.isin(samples.patients, np.concatenate(kept)))
    columns: dict[str, Any] = {x: column[rows] for x, column in _arrays(samples).items()}
    return replace(samples, paths=tuple(samples.paths[row] for row in rows), **columns)


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
            [
                [
                    MASKED if label in image.unknown else label in image.findings
                    for label in collection.labels
                ]
                for image in images
            ],
            dtype=np.float32,
        ),
        sources=np.array([source_of(width_of(image.path)) for image in bar]),
        ages=np.array([image.age_years for image in images], dtype=np.int64),
        sexes=np.array([image.sex for image in images]),
        views=np.array([image.view for image in images]),
        splits=np.array([collection.splits[image.patient].value for image in images]),
        synthetic=np.array([image.synthetic for image in images], dtype=np.bool_),
        patient_splits=collection.splits,
        labels=collection.labels,
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
    columns: dict[str, Any] = {"paths": first.paths + second.paths}
    for name, column in _arrays(first).items():
        columns[name] = np.concatenate([column, getattr(second, name)])
    splits = first.patient_splits | second.patient_splits
    return Samples(**columns, patient_splits=splits, labels=first.labels)


def _arrays(samples: Samples) -> dict[str, npt.NDArray[Any]]:
    """The columns with a value for each image, the paths excepted."""
    named = ((column.name, getattr(samples, column.name)) for column in fields(samples))
    return {name: value for name, value in named if isinstance(value, np.ndarray)}


def _check_classes(samples: Samples, labels: Path) -> None:
    sizes = Counter(samples.splits.tolist())
    for split in (Split.TRAIN, Split.VALIDATION):
        if not sizes[split.value]:
            raise DataError(labels, f"no image belongs to a {split.value} patient")
        positives = (samples.targets[samples.rows(split)] == 1).sum(axis=0)
        empty = [label.value for label, n in zip(samples.labels, positives, strict=True) if n == 0]
        if empty:
            raise DataError(
                labels, f"no {split.value} image is positive for {', '.join(empty)}: add images"
            )
