"""The cases to judge maps on: a finding, a radiograph, and the boxes drawn around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cxr_contracts import Finding, finding_of_region
from cxr_training.data import chestxdet
from cxr_training.data.boxed import read_boxed
from cxr_training.data.nih import RegionBox
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split

NIH_FOLDER, CHESTXDET_FOLDER = "nih", "chestx-det"


class Annotator(StrEnum):
    """Whose boxes they are."""

    NIH = "nih"
    CHESTXDET = "chestx-det"


@dataclass(frozen=True, slots=True)
class Case:
    """One finding on one radiograph, boxed by one annotator or by both.

    `name` is NIH's file name; the boxes are in the 1024 px frame.
    """

    name: str
    path: Path
    patient: str
    finding: Finding
    boxes: Mapping[Annotator, tuple[RegionBox, ...]]

    def boxes_of(self, annotator: Annotator | None) -> tuple[RegionBox, ...]:
        """The boxes of one annotator, none if it drew none; of both for None."""
        if annotator is not None:
            return self.boxes.get(annotator, ())
        return tuple(box for drawn in self.boxes.values() for box in drawn)


def boxed_validation(data: Path) -> list[Case]:
    """The validation patients' cases; see `boxed_training`."""
    return _cases(data, Split.VALIDATION)


def boxed_training(data: Path) -> list[Case]:
    """The training patients' cases, by file name and finding.

    A box of a region that is none of the fourteen findings is passed over, and so is one on a
    radiograph that is not there: a part of the download is judged like the whole.

    Args:
        data: folder that holds `nih/` and, if ChestX-Det is to be judged on, `chestx-det/`.

    Raises:
        DataError: what the readers of the two sets refuse.
    """
    return _cases(data, Split.TRAIN)


def _cases(data: Path, split: Split) -> list[Case]:
    boxed = read_boxed(data / NIH_FOLDER)
    drawn: dict[tuple[str, Finding], dict[Annotator, list[RegionBox]]] = {}
    _collect(drawn, Annotator.NIH, boxed.boxes)
    if (data / CHESTXDET_FOLDER).is_dir():
        annotated = chestxdet.read_images(data / CHESTXDET_FOLDER)
        _collect(drawn, Annotator.CHESTXDET, {image.nih_name: image.boxes for image in annotated})
    return [
        _case(boxed.images[name], finding, by_annotator)
        for (name, finding), by_annotator in sorted(drawn.items())
        if name in boxed.images and boxed.splits[boxed.images[name].patient] is split
    ]


def _collect(
    drawn: dict[tuple[str, Finding], dict[Annotator, list[RegionBox]]],
    annotator: Annotator,
    boxes: Mapping[str, list[RegionBox]] | Mapping[str, tuple[RegionBox, ...]],
) -> None:
    for name, of_image in boxes.items():
        for box in of_image:
            finding = finding_of_region(box.region)
            if finding is not None:
                by_annotator = drawn.setdefault((name, finding), {})
                by_annotator.setdefault(annotator, []).append(box)


def _case(
    image: Radiograph, finding: Finding, by_annotator: Mapping[Annotator, list[RegionBox]]
) -> Case:
    boxes = {annotator: tuple(drawn) for annotator, drawn in by_annotator.items()}
    return Case(image.name, image.path, image.patient, finding, boxes)
