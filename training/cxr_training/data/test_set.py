"""The test set: patients who are reported on, and never trained, fitted, tuned or chosen on.

It lies in a folder of its own, `test/` in the folder of the data, in the same layout: `nih/`,
`chestx-det/`, `rsna/`. The readers refuse it (`HeldOutError`); `read_test_set` is the one way in,
and a test holds that code that evaluates alone calls it.
"""

from dataclasses import dataclass
from pathlib import Path

from cxr_training.data import chestxdet, nih
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.collection import Collection
from cxr_training.data.errors import DataError
from cxr_training.data.nih import BoxedRadiographs, read_boxed
from cxr_training.data.splits import CHESTXDET_FOLDER, NIH_FOLDER, TEST_FOLDER


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The test patients' radiographs with the boxes of both annotators."""

    boxed: BoxedRadiographs
    """NIH's images and boxes; every patient's split is `test`, whoever drew boxes on them."""
    annotated: tuple[ChestXDetImage, ...]
    """Those that ChestX-Det annotated; none where the folder has none."""

    @property
    def collection(self) -> Collection:
        """The images as the classifier's loader takes them."""
        return Collection(tuple(self.boxed.images.values()), self.boxed.splits)


def read_test_set(data: Path) -> HeldOut:
    """The test set in `data/test`, or in `data` itself where that is it.

    Raises:
        DataError: there is none; it is not as published.
    """
    inner = data / TEST_FOLDER
    root = inner if inner.is_dir() else data
    if not (root / NIH_FOLDER).is_dir() or not nih.is_held_out(root / NIH_FOLDER):
        raise DataError(data, f"holds no test set: {inner / NIH_FOLDER} is missing")
    folder = root / CHESTXDET_FOLDER
    annotated = chestxdet.read_images(folder, held_out=True) if folder.is_dir() else []
    return HeldOut(read_boxed(root / NIH_FOLDER, held_out=True), tuple(annotated))
