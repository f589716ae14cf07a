"""NIH and any number of CSV manifests as one list of radiographs, with one split by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxr_contracts import Finding
from cxr_training.core.runs import sha256_of
from cxr_training.data import nih
from cxr_training.data.errors import Refuse, at_once, tried
from cxr_training.data.manifest_csv import OWN, Entry, check_files, read_entries, stated_splits
from cxr_training.data.nih import published_splits
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, refuse_test_folder

NIH_SOURCE = "NIH ChestX-ray14 (Wang et al., CVPR 2017; NIH Clinical Center)"


@dataclass(frozen=True, slots=True)
class Collection:
    """Radiographs of all sets, NIH's first, the split of every patient, and what is learned."""

    images: tuple[Radiograph, ...]
    splits: dict[str, Split]
    labels: tuple[Finding, ...] = tuple(Finding)


def read_collection(
    nih_root: Path | None,
    manifests: Sequence[Path] = (),
    *,
    held_out: bool = False,
    refuse: Refuse = at_once,
) -> Collection:
    """The images of NIH's layout under `nih_root`, if any, and those of `manifests`.

    A split that a manifest states holds for all images of the patient. A patient of NIH follows
    NIH's split. A patient of whom there are synthetic images alone trains.

    Args:
        nih_root: folder in NIH's layout; None for manifests alone.
        manifests: CSV manifests.
        held_out: let a test set pass; for evaluation and checks alone.
        refuse: called for each entry that cannot be taken.

    Raises:
        DataError: what the readers raise; a test set that may not pass; two splits stated for one
            patient, one stated against NIH's, a synthetic image of a patient who does not train.
    """
    if not held_out:
        for path in manifests:
            refuse_test_folder(path)
    published = (
        tried(partial(nih.read_images, nih_root, held_out=held_out, refuse=refuse), refuse)
        if nih_root is not None
        else []
    )
    entries = [
        entry
        for path in manifests
        for entry in tried(partial(read_entries, path, refuse=refuse), refuse)
    ]
    check_files(entries, refuse=refuse)
    images = (*published, *(entry.radiograph for entry in entries))
    splits = published_splits(nih_root, (image.patient for image in images), refuse=refuse)
    stated = stated_splits(entries, refuse=refuse)
    _apply(stated, splits, nih_root is not None, refuse)
    real = {image.patient for image in images if not image.synthetic}
    _keep_synthetic_in_training(entries, real, splits, refuse)
    return Collection(images, splits)


def describe_sources(root: Path | None, manifests: Sequence[Path] = ()) -> list[str]:
    """What `read_collection` reads, a sentence a set, without a folder of this machine.

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


def label_file(root: Path | None, manifests: Sequence[Path]) -> Path:
    """What an error about all labels names: NIH's file where it is read, else a manifest."""
    if root is not None:
        return nih.entry_file(root)
    if not manifests:
        raise ValueError("the reader needs NIH's folder, a manifest, or both")
    return manifests[0]


def _apply(
    stated: dict[str, Entry], splits: dict[str, Split], has_nih: bool, refuse: Refuse
) -> None:
    for patient, entry in stated.items():
        if entry.stated is None or entry.stated is splits[patient]:
            continue
        if has_nih and not patient.startswith(OWN):
            refuse(
                entry.error(
                    f"patient {patient} is in {entry.stated} here and in {splits[patient]} by "
                    "NIH's split: leave the field empty"
                )
            )
        else:
            splits[patient] = entry.stated


def _keep_synthetic_in_training(
    entries: list[Entry], real: set[str], splits: dict[str, Split], refuse: Refuse
) -> None:
    for entry in entries:
        image = entry.radiograph
        if not image.synthetic:
            continue
        if image.patient not in real:
            splits[image.patient] = Split.TRAIN
        elif splits[image.patient] is not Split.TRAIN:
            refuse(
                entry.error(
                    f"{image.name} is a synthetic image of patient {image.patient}, who is in "
                    f"{splits[image.patient]}: synthetic images only train"
                )
            )
