"""The radiographs that a generator learns from and is compared with."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_gan.errors import GanError
from cxr_gan.generator import Findings, Images
from cxr_training.data.cache import CanonicalImages, canonical_images
from cxr_training.data.collection import Collection, read_collection
from cxr_training.data.pixels import width_of
from cxr_training.data.splits import Split, split_sha256

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Radiographs:
    """Real radiographs at a generator's size, split by split in the order that was asked for."""

    cached: CanonicalImages
    """Every image of the data set, uint8 [side_px, side_px] each."""
    places: Indices
    """Where each radiograph [n] stands in `cached`."""
    patients: npt.NDArray[np.str_]
    findings: tuple[Findings, ...]
    n_first: int
    """Of the first split."""
    split_sha256: str
    key: str
    """Another one for other files or another size."""

    def __len__(self) -> int:
        return len(self.places)

    def images(self, indices: Sequence[int] | Indices) -> Images:
        """Some of the radiographs, uint8 [m, side, side]."""
        return np.stack([self.cached[int(self.places[index])] for index in indices])

    def positives(self, label: str) -> int:
        """How many show it."""
        return sum(label in findings for findings in self.findings)


def nih_of(data: Path | None) -> Path | None:
    """NIH's folder: `data`/nih where there is one, else `data`."""
    return data / "nih" if data and (data / "nih").is_dir() else data


def training_findings(data: Path, labels: Sequence[str]) -> list[Findings]:
    """The findings of each training radiograph under `data`, those among `labels` alone."""
    collection = read_collection(nih_of(data))
    return [
        frozenset(finding.value for finding in image.findings) & frozenset(labels)
        for image in collection.images
        if collection.splits[image.patient] is Split.TRAIN and not image.synthetic
    ]


def read_radiographs(
    data: Path | None,
    side_px: int,
    cache: Path,
    *,
    splits: Sequence[Split] = (Split.TRAIN,),
    least: int = 1,
    manifests: Sequence[Path] = (),
) -> Radiographs:
    """The radiographs of some splits, decoded at the first call and kept in `cache`.

    Synthetic images are left out: a generator that learns from generators forgets what is rare.
    So are files less wide than `side_px`: enlarged, they would show blur as if it were real.

    Raises:
        DataError: the data set is not as published; no room for the decoded images.
        GanError: fewer than `least` such radiographs in a split.
    """
    collection = read_collection(nih_of(data), manifests)
    parts = [_chosen(collection, split, side_px) for split in splits]
    for split, part in zip(splits, parts, strict=True):
        if len(part) < least:
            raise GanError(
                f"{data or manifests[0]} has {len(part)} {split} radiographs of {side_px} px or "
                f"more: at least {least} are needed"
            )
    places = [place for part in parts for place in part]
    images = [collection.images[place] for place in places]
    # Every image of the set, so that all recipes of one size, and the classifier, share a cache.
    paths = tuple(image.path for image in collection.images)
    cached = canonical_images(paths, side_px, cache)
    chosen = hashlib.sha256(str(places).encode()).hexdigest()[:16]
    return Radiographs(
        cached=cached,
        places=np.array(places),
        patients=np.array([image.patient for image in images]),
        findings=tuple(frozenset(finding.value for finding in image.findings) for image in images),
        n_first=len(parts[0]),
        split_sha256=split_sha256(collection.splits),
        key=f"{Path(str(getattr(cached, 'filename', side_px))).name}:{chosen}",
    )


def _chosen(collection: Collection, split: Split, side_px: int) -> list[int]:
    wanted = [
        index
        for index, image in enumerate(collection.images)
        if collection.splits[image.patient] is split and not image.synthetic
    ]
    bar = tqdm(wanted, desc="headers", unit="image", delay=2)
    return [index for index in bar if width_of(collection.images[index].path) >= side_px]
