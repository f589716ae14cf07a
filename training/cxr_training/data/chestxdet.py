"""ChestX-Det in its published layout (Lian et al. 2021; annotations Apache-2.0, pixels NIH's).

`name_map.csv` ties its file names to NIH's, without which the two sets could share a patient
across a split.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_contracts import parse_region
from cxr_training.data.csv_rows import Row, parsed_rows
from cxr_training.data.errors import DataError, Refuse, at_once
from cxr_training.data.nih import RegionBox, checked_box, files_by_name, patient_of
from cxr_training.data.splits import refuse_test_folder

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
            boxes = _boxes(entry)
            if name in named:
                raise ValueError("stands there twice")
            if name not in files:
                raise ValueError(f"no such image in {root / part}")
            if name not in names:
                raise ValueError(f"not in {NAME_MAP}")
            patient = patient_of(names[name])
            images[name] = ChestXDetImage(name, names[name], patient, files[name], boxes)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            refuse(DataError(annotations, f"entry {name!r}: {error}"))
        named.add(name)
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
    taken: set[str] = set()

    def parse(_: int, row: Row) -> None:
        name, nih_name = row["chestxdet_name"], row["nih_name"]
        patient_of(nih_name)
        if name in names or nih_name in taken:
            raise ValueError(f"{name} or {nih_name} stands there already")
        names[name] = nih_name
        taken.add(nih_name)

    parsed_rows(path, ("chestxdet_name", "nih_name"), parse, refuse=refuse)
    return names


def _boxes(entry: dict[str, Any]) -> tuple[RegionBox, ...]:
    return tuple(
        checked_box(RegionBox(parse_region(label), *(float(value) for value in corners)))
        for label, corners in zip(entry["syms"], entry["boxes"], strict=True)
    )
