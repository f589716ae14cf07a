"""Where data sets lie, and which patient belongs to which split, over all of them together.

The split of a patient follows from the patient's number alone, so that the full download and any
part of it, NIH and ChestX-Det, agree without a shared file; a CSV manifest may state splits of
its own (`cxr_training.data.collection`). Patients of NIH's official test list
are `test`, except those on whom NIH drew boxes: there are no other NIH boxes to train or
validate on. Patients of a test set beside the data are `test` in any case: a full NIH download
holds them as well, boxes and all.
"""

import hashlib
from collections.abc import Iterable, Set
from enum import StrEnum
from pathlib import Path

from cxr_training.data.errors import HeldOutError

NIH_FOLDER, CHESTXDET_FOLDER, RSNA_FOLDER = "nih", "chestx-det", "rsna"
TEST_FOLDER = "test"
_MARKS = (NIH_FOLDER, CHESTXDET_FOLDER, RSNA_FOLDER, "test_list.txt")
VALIDATION_PERCENT = 15


class Split(StrEnum):
    """A part of the patients."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def assign_splits(
    patients: Iterable[str],
    *,
    official_test: set[str],
    boxed: set[str],
    reported: Set[str] = frozenset(),
) -> dict[str, Split]:
    """The split of each patient.

    Args:
        patients: NIH's patient numbers, eight digits, and those of manifests, `own:...`.
        official_test: patients of NIH's official test list.
        boxed: patients with at least one NIH box.
        reported: patients of a test set that lies beside the data, boxed or not.
    """
    held_out = (official_test - boxed) | reported
    return {
        patient: Split.TEST if patient in held_out else _train_or_validation(patient)
        for patient in sorted(set(patients))
    }


def split_lines(splits: dict[str, Split]) -> str:
    """The split as text, `patient,split` a line, sorted; its sha256 names the split."""
    return "".join(f"{patient},{splits[patient]}\n" for patient in sorted(splits))


def split_sha256(splits: dict[str, Split]) -> str:
    """Hex sha256 of `split_lines`."""
    return hashlib.sha256(split_lines(splits).encode()).hexdigest()


def write_splits(splits: dict[str, Split], path: Path) -> None:
    """Write `split_lines` to `path`."""
    path.write_text(split_lines(splits))


def in_test_folder(path: Path) -> bool:
    """Whether `path` is, or lies in, a folder named `test` that holds a data set."""
    resolved = path.resolve()
    return any(
        folder.name == TEST_FOLDER and any((folder / mark).exists() for mark in _MARKS)
        for folder in (resolved, *resolved.parents)
    )


def refuse_test_folder(path: Path) -> None:
    """Raise HeldOutError for what lies in a test set."""
    if in_test_folder(path):
        raise HeldOutError(path)


def _train_or_validation(patient: str) -> Split:
    digest = hashlib.sha256(f"cxr-split-1:{patient}".encode()).digest()
    bucket = int.from_bytes(digest[:4], "big") % 100
    return Split.VALIDATION if bucket < VALIDATION_PERCENT else Split.TRAIN
