"""ChestX-Det in its published layout (Lian et al. 2021; annotations Apache-2.0, pixels NIH's).

`name_map.csv` ties its file names to NIH's, without which the two sets could share a patient
across a split.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_contracts import parse_region
from cxr_training.data.csv_rows import read_rows
from cxr_training.data.errors import DataError, Refuse, at_once
from cxr_training.data.layout import refuse_test_folder
from cxr_training.data.nih import RegionBox, check_box, files_by_name, patient_of

NAME_MAP = "name_map.csv"
CHESTXDET_SOURCE = "ChestX-Det (Lian et al. 2021; annotations Apache-2.0)"
PARTS = ("train", "test")


@dataclass(frozen=True, slots=True)
class ChestXDetImage:
    """One annotated radiograph; no boxes means that three radiologists saw nothing to mark."""

    name: str
    nih_name: str
    patient: str
    path: Path
    boxes: tuple[RegionBox, ...]


def read_images(
    root: Path, *, part: str = "train", held_out: bool = False, refuse: Refuse = at_once
) -> list[ChestXDetImage]:
    """The annotated radiographs of `root/<part>/`.

    Args:
        root: the folder of the annotations.
        part: `train` or `test`, of ChestX-Det's own.
        held_out: let the test set pass (`data.test_set`); for evaluation alone.
        refuse: called for an entry that cannot be taken: no image, no NIH name, an unknown
            label, a box of no area or outside; and for an image that no entry names.

    Raises:
        DataError: a missing or malformed file, no image, a test set; what `refuse` raises.
    """
    if not held_out:
        refuse_test_folder(root)
    annotations = annotation_file(root, part)
    entries = _read_entries(annotations)
    names = _read_name_map(root / NAME_MAP, refuse)
    files = image_files(root, part)
    if entries and not files:
        raise DataError(root / part, f"none of the {len(entries)} images of {annotations.name}")
    images: dict[str, ChestXDetImage] = {}
    named = set()
    for entry in entries:
        name = str(entry.get("file_name", ""))
        try:
            boxes = _boxes(entry, annotations)
            if name in named:
                raise DataError(annotations, f"entry {name!r}: stands there twice")
            named.add(name)
            if name not in files:
                raise DataError(annotations, f"entry {name!r}: no such image in {root / part}")
            nih_name = _nih_name(name, annotations, names)
            images[name] = ChestXDetImage(name, nih_name, patient_of(nih_name), files[name], boxes)
        except DataError as error:
            named.add(name)
            refuse(error)
    for name in sorted(files.keys() - named):
        refuse(DataError(files[name], f"has no entry in {annotations.name}"))
    return list(images.values())


def image_files(root: Path, part: str) -> dict[str, Path]:
    """The images of `root/<part>/` by ChestX-Det's name, `<stem>.png`; some are WebP files."""
    return files_by_name((root / part).glob("*"))


def annotation_file(root: Path, part: str) -> Path:
    """Where the annotations of `part` stand."""
    return root / f"ChestX_Det_{part}.json"


def _read_entries(annotations: Path) -> list[dict[str, Any]]:
    if not annotations.exists():
        raise DataError(annotations, "is missing (ChestX-Det's annotations)")
    try:
        entries = json.loads(annotations.read_text())
    except json.JSONDecodeError as error:
        raise DataError(annotations, f"is no JSON: {error.msg}", line=error.lineno) from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(annotations, "is no list of entries")
    return entries


def _read_name_map(path: Path, refuse: Refuse) -> dict[str, str]:
    if not path.exists():
        raise DataError(path, "is missing (ChestX-Det name to NIH name)")
    names: dict[str, str] = {}
    nih_names: set[str] = set()
    for line, row in read_rows(path, ("chestxdet_name", "nih_name"), refuse=refuse):
        name, nih_name = row["chestxdet_name"], row["nih_name"]
        try:
            patient_of(nih_name)
        except ValueError as error:
            refuse(DataError(path, str(error), line=line))
            continue
        if name in names or nih_name in nih_names:
            refuse(DataError(path, f"{name} or {nih_name} stands there already", line=line))
            continue
        names[name] = nih_name
        nih_names.add(nih_name)
    return names


def _nih_name(name: str, annotations: Path, names: dict[str, str]) -> str:
    if name not in names:
        raise DataError(annotations, f"entry {name!r}: not in {NAME_MAP}")
    return names[name]


def _boxes(entry: dict[str, Any], annotations: Path) -> tuple[RegionBox, ...]:
    place = f"entry {str(entry.get('file_name', ''))!r}: "
    try:
        boxes = tuple(
            RegionBox(parse_region(label), *(float(value) for value in corners))
            for label, corners in zip(entry["syms"], entry["boxes"], strict=True)
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(annotations, f"{place}{error}") from error
    for box in boxes:
        check_box(box, annotations, entry=place)
    return boxes
