"""NIH's radiographs with NIH's boxes, and the split that both decide: one home for all who need it.

A patient on whom NIH drew a box is never held out as a test patient (`assign_splits`), so a split
is right only where the box list was read, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_training.data import nih
from cxr_training.data.errors import Refuse, at_once, tried
from cxr_training.data.nih import RegionBox
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, assign_splits


@dataclass(frozen=True, slots=True)
class BoxedRadiographs:
    """All radiographs of NIH's layout, boxed or not."""

    images: Mapping[str, Radiograph]
    """By file name."""
    boxes: Mapping[str, list[RegionBox]]
    """NIH's own, by file name; a boxed radiograph may be absent from `images`."""
    splits: dict[str, Split]
    """Of every patient of `images`."""

    def of(self, split: Split) -> list[Radiograph]:
        """The radiographs of one split's patients, in the order of the label file."""
        return [image for image in self.images.values() if self.splits[image.patient] is split]


def read_boxed(nih_root: Path, *, held_out: bool = False) -> BoxedRadiographs:
    """The radiographs under `nih_root`, the boxes and the splits; DataError as NIH's readers.

    `held_out`: let a test set pass (`data.test_set`); all its patients are test patients.
    """
    images = {image.name: image for image in nih.read_images(nih_root, held_out=held_out)}
    patients = (image.patient for image in images.values())
    return BoxedRadiographs(images, nih.read_boxes(nih_root), published_splits(nih_root, patients))


def published_splits(
    nih_root: Path | None, patients: Iterable[str], *, refuse: Refuse = at_once
) -> dict[str, Split]:
    """The splits of `patients`, with the lists and boxes of `nih_root` where there is one."""
    if nih_root is None:
        return _splits(patients, (), ())
    names = nih.read_list(nih_root / nih.TEST_LIST, refuse=refuse)
    if nih.is_held_out(nih_root):
        # NIH drew its boxes on test patients; here nobody trains, so all of them stay.
        return dict.fromkeys(sorted(set(patients)), Split.TEST)
    boxes = tried(lambda: list(nih.read_boxes(nih_root, refuse=refuse)), refuse)
    return _splits(patients, names, boxes)


def _splits(
    patients: Iterable[str], test_names: Iterable[str], boxed_names: Iterable[str]
) -> dict[str, Split]:
    return assign_splits(
        patients,
        official_test={nih.patient_of(name) for name in test_names},
        boxed={nih.patient_of(name) for name in boxed_names},
    )
