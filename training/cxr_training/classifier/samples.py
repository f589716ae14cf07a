"""Radiographs as training samples: labels, patients, splits and source sizes, checked."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_contracts import Finding
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.manifest_csv import read_entries
from cxr_training.data.nih import entry_file
from cxr_training.data.pixels import width_of
from cxr_training.data.splits import Split
from cxr_training.publishing import sha256_of

LABELS = tuple(Finding)
# In place of a target: the loss ignores the label on this image.
UNJUDGED = -1.0
LARGE_PX = 256
MEDIUM_PX = 128
NIH_SOURCE = "NIH ChestX-ray14 (Wang et al., CVPR 2017; NIH Clinical Center)"
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


def read_samples(root: Path | None, manifests: Sequence[Path] = ()) -> Samples:
    """All radiographs of NIH's layout under `root` and of `manifests`, checked and counted.

    Args:
        root: folder in NIH's layout; None for manifests alone.
        manifests: CSV manifests of a site's own, or of synthetic images.

    Raises:
        DataError: what `read_collection` raises; a file that is no image; a label without a
            positive image among training or validation patients.
    """
    collection = read_collection(root, manifests)
    images = collection.images
    # A hundred thousand headers take seconds, or minutes from a network's disk.
    bar = tqdm(images, desc="headers", unit="image", delay=2)
    samples = Samples(
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
        patient_splits=collection.splits,
    )
    _check_classes(samples, _label_file(root, manifests))
    return samples


def describe_sources(root: Path | None, manifests: Sequence[Path] = ()) -> list[str]:
    """What `read_samples` reads, a sentence a set, without a folder of this machine.

    A manifest is named by its content: sha256, and how many of its images are synthetic.
    """
    described = [] if root is None else [NIH_SOURCE]
    for path in manifests:
        images = [entry.radiograph for entry in read_entries(path)]
        synthetic = sum(image.synthetic for image in images)
        described.append(
            f"{path.name}, a CSV manifest of {len(images)} images, {synthetic} of them synthetic "
            f"(sha256 {sha256_of(path)})"
        )
    return described


def _position(patient: str) -> float:
    """Where the patient stands between 0 and 1, independent of the split's own hash."""
    digest = hashlib.sha256(f"cxr-share-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _label_file(root: Path | None, manifests: Sequence[Path]) -> Path:
    if root is not None:
        return entry_file(root)
    if not manifests:
        raise ValueError("read_samples needs NIH's folder, a manifest, or both")
    return manifests[0]


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
