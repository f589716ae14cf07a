"""ChestX-Det in its published layout (Lian et al. 2021; annotations Apache-2.0, pixels NIH's).

`name_map.csv` ties its file names to NIH's, without which the two sets could share a patient
across a split.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_contracts import parse_region
from cxr_training.data.errors import DataError
from cxr_training.data.nih import RegionBox, check_box, patient_of


@dataclass(frozen=True, slots=True)
class ChestXDetImage:
    """One annotated radiograph; no boxes means that three radiologists saw nothing to mark."""

    name: str
    nih_name: str
    patient: str
    path: Path
    boxes: tuple[RegionBox, ...]


def read_images(root: Path, *, part: str = "train") -> list[ChestXDetImage]:
    """The annotated radiographs of `root/<part>/`.

    Raises:
        DataError: a missing file, name or key, an unknown label, a box of no area or outside.
    """
    annotations = root / f"ChestX_Det_{part}.json"
    if not annotations.exists():
        raise DataError(annotations, "is missing (ChestX-Det's annotations)")
    names = _read_name_map(root / "name_map.csv")
    entries: list[dict[str, Any]] = json.loads(annotations.read_text())
    return [_image(entry, annotations, root / part, names) for entry in entries]


def _read_name_map(path: Path) -> dict[str, str]:
    if not path.exists():
        raise DataError(path, "is missing (ChestX-Det name to NIH name)")
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        if not {"chestxdet_name", "nih_name"} <= set(reader.fieldnames or ()):
            raise DataError(path, "needs the columns chestxdet_name and nih_name", line=1)
        return {row["chestxdet_name"]: row["nih_name"] for row in reader}


def _image(
    entry: dict[str, Any], annotations: Path, folder: Path, names: dict[str, str]
) -> ChestXDetImage:
    name = str(entry.get("file_name", ""))
    path = folder / name
    if not name or not path.exists():
        raise DataError(annotations, f"entry {name!r}: no such image in {folder}")
    if name not in names:
        raise DataError(annotations, f"entry {name!r}: not in name_map.csv")
    try:
        boxes = tuple(
            RegionBox(parse_region(label), *(float(value) for value in corners))
            for label, corners in zip(entry["syms"], entry["boxes"], strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(annotations, f"entry {name!r}: {error}") from error
    for box in boxes:
        check_box(box, annotations, entry=f"entry {name!r}: ")
    return ChestXDetImage(name, names[name], patient_of(names[name]), path, boxes)
