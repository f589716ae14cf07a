"""The cases to evaluate maps on: a finding, a radiograph, and the boxes drawn around it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import Finding, finding_of_region
from cxr_training.data import chestxdet
from cxr_training.data.boxed import BoxedRadiographs, read_boxed
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.layout import CHESTXDET_FOLDER, NIH_FOLDER
from cxr_training.data.nih import RegionBox
from cxr_training.data.splits import Split


@dataclass(frozen=True, slots=True)
class Case:
    """One finding on one radiograph, boxed by one annotator or by several.

    `name` is NIH's file name; the boxes are in the 1024 px frame.
    """

    name: str
    path: Path
    patient: str
    finding: Finding
    boxes: tuple[RegionBox, ...]


def read_cases(data: Path) -> dict[Split, list[Case]]:
    """The cases of training and of validation patients; see `cases_of`.

    Args:
        data: folder that holds `nih/` and, for ChestX-Det's boxes, `chestx-det/`.

    Raises:
        DataError: what the readers of the two sets refuse.
    """
    boxed = read_boxed(data / NIH_FOLDER)
    folder = data / CHESTXDET_FOLDER
    annotated = chestxdet.read_images(folder) if folder.is_dir() else []
    return {split: cases_of(boxed, annotated, split) for split in (Split.TRAIN, Split.VALIDATION)}


def cases_of(
    boxed: BoxedRadiographs, annotated: Iterable[ChestXDetImage], split: Split
) -> list[Case]:
    """The cases of a split's patients, by file name and finding.

    A box of a region that is none of the fourteen findings is passed over, and so is one on a
    radiograph that is not there: a part of the download is evaluated like the whole.
    """
    drawn: dict[tuple[str, Finding], list[RegionBox]] = {}
    _collect(drawn, boxed.boxes)
    _collect(drawn, {image.nih_name: image.boxes for image in annotated})
    cases = []
    for (name, finding), boxes in sorted(drawn.items()):
        image = boxed.images.get(name)
        if image is not None and boxed.splits[image.patient] is split:
            cases.append(Case(name, image.path, image.patient, finding, tuple(boxes)))
    return cases


def _collect(
    drawn: dict[tuple[str, Finding], list[RegionBox]],
    boxes: Mapping[str, list[RegionBox]] | Mapping[str, tuple[RegionBox, ...]],
) -> None:
    for name, of_image in boxes.items():
        for box in of_image:
            finding = finding_of_region(box.region)
            if finding is not None:
                drawn.setdefault((name, finding), []).append(box)
