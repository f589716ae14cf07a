"""The folders of the data sets, and the test set's among them."""

from pathlib import Path

from cxr_training.data.errors import HeldOutError

NIH_FOLDER, CHESTXDET_FOLDER, RSNA_FOLDER = "nih", "chestx-det", "rsna"
TEST_FOLDER = "test"
_MARKS = (NIH_FOLDER, CHESTXDET_FOLDER, RSNA_FOLDER, "test_list.txt")


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
