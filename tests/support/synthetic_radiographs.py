"""Folders in NIH's and ChestX-Det's layouts, with generated images and boxes that lie on them."""

import csv
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_contracts import Region
from cxr_training.data.annotations import CHESTX_DET, NIH
from cxr_training.data.splits import Split, assign_splits
from cxr_training.detector.config import AugmentationConfig

ENTRY_HEADER = [
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
]
BOX_HEADER = ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]", "", "", ""]
# What NIH's box list calls Infiltration.
NIH_SPELLING = {"Infiltration": "Infiltrate"}
NO_AUGMENTATION = AugmentationConfig(
    soften=0.0,
    soften_min_px=64,
    blur=0.0,
    jpeg=0.0,
    gamma=0.0,
    degrees=0.0,
    translate=0.0,
    scale=0.0,
    brightness=0.0,
    flip_horizontal=0.0,
)
Box = tuple[str, float, float, float, float]


class SyntheticData:
    """Writes both folders image by image; `nih` and `chestxdet` are their roots."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.nih = root / "nih"
        self.chestxdet = root / "chestx-det"
        (self.nih / "images").mkdir(parents=True)
        (self.chestxdet / "train").mkdir(parents=True)
        self._generator = np.random.default_rng(seed)
        self._entries: list[list[object]] = []
        self._boxes: list[list[object]] = []
        self._det: list[dict[str, object]] = []
        self._names: list[list[str]] = []
        self._numbers = {split: _patients_of(split) for split in (Split.TRAIN, Split.VALIDATION)}

    def add(
        self,
        split: Split,
        *,
        findings: str = "No Finding",
        det: list[Box] | None = None,
        nih: list[Box] | None = None,
        side_px: int = 128,
    ) -> str:
        """One radiograph of a new patient with the boxes (1024 px frame) of either set."""
        name = f"{next(self._numbers[split]):08d}_000.png"
        image = self._image([*(det or []), *(nih or [])], side_px)
        image.save(self.nih / "images" / name)
        self._entries.append([name, findings, 0, int(name[:8]), 50, "F", "PA"])
        for label, x, y, width, height in nih or []:
            spelt = NIH_SPELLING.get(label, label)
            self._boxes.append([name, spelt, x, y, width, height, "", "", ""])
        if det is not None:
            det_name = f"{len(self._det)}.png"
            image.save(self.chestxdet / "train" / det_name)
            corners = [[x, y, x + width, y + height] for _, x, y, width, height in det]
            syms = [label.replace("Pleural_", "Pleural ") for label, *_ in det]
            self._det.append(
                {"file_name": det_name, "syms": syms, "boxes": corners, "polygons": []}
            )
            self._names.append([det_name, name])
        return name

    def write(self) -> "SyntheticData":
        """Write the label files of what was added."""
        _write_csv(self.nih / "Data_Entry_2017_v2020.csv", ENTRY_HEADER, self._entries)
        _write_csv(self.nih / "BBox_List_2017.csv", BOX_HEADER, self._boxes)
        (self.chestxdet / "ChestX_Det_train.json").write_text(json.dumps(self._det))
        header = ["chestxdet_name", "nih_name"]
        _write_csv(self.chestxdet / "name_map.csv", header, self._names)
        return self

    def _image(self, boxes: list[Box], side_px: int) -> Image.Image:
        grey = self._generator.integers(60, 90, (side_px, side_px)).astype(np.uint8)
        for _, *box in boxes:
            x, y, width, height = (round(value * side_px / 1024) for value in box)
            grey[y : y + height, x : x + width] = 220
        return Image.fromarray(grey)


def write_small_data(root: Path) -> SyntheticData:
    """Every class on two training patients and one validation patient, and some background."""
    data = SyntheticData(root)
    generator = np.random.default_rng(1)
    for split, repeats in ((Split.TRAIN, 2), (Split.VALIDATION, 1)):
        for turn in range(repeats):
            for region in sorted(CHESTX_DET.regions):
                data.add(split, det=[_box(region, generator)], side_px=64 if turn else 128)
            for region in sorted(NIH.regions):
                finding = region.value
                data.add(split, findings=finding, nih=[_box(region, generator)], side_px=128)
        data.add(split, det=[])
    for _ in range(3):
        data.add(Split.TRAIN)
    return data.write()


def _box(region: Region, generator: np.random.Generator) -> Box:
    x, y = generator.uniform(50, 500, 2)
    width, height = generator.uniform(200, 450, 2)
    return (region.value, round(x), round(y), round(width), round(height))


def _patients_of(split: Split) -> Iterator[int]:
    return (
        number
        for number in count(1)
        if assign_splits([f"{number:08d}"], official_test=set(), boxed=set())[f"{number:08d}"]
        is split
    )


def _write_csv(path: Path, header: list[str], rows: list[list[object]] | list[list[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
