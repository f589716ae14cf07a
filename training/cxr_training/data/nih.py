"""NIH ChestX-ray14 in its published layout (Wang et al., CVPR 2017; NIH Clinical Center).

Reads `Data_Entry_2017*.csv`, `BBox_List_2017.csv`, the official lists and `images*/`. The full
download and a part of it are read alike: rows whose image is absent are an error only when asked.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import NO_FINDING, Region, parse_finding, parse_region
from cxr_training.data.errors import DataError
from cxr_training.data.radiographs import Radiograph

# Side of the frame in which NIH and ChestX-Det draw their boxes.
ANNOTATION_FRAME_PX = 1024
_IMAGE_NAME = re.compile(r"^(\d{8})_\d{3}\.png$")
_ENTRY_COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
)
_BOX_COLUMNS = ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")


@dataclass(frozen=True, slots=True)
class RegionBox:
    """A hand-drawn box, in pixels of the 1024 x 1024 original; x to the right, y down."""

    region: Region
    x_min: float
    y_min: float
    x_max: float
    y_max: float


def patient_of(image_name: str) -> str:
    """The patient: the first eight digits of an NIH image name; ValueError otherwise."""
    match = _IMAGE_NAME.match(image_name)
    if match is None:
        raise ValueError(f"{image_name!r} is no NIH image name (expected 00000001_000.png)")
    return match.group(1)


def read_images(root: Path) -> list[Radiograph]:
    """All radiographs under `root/images*/`, in the order of the label file.

    Raises:
        DataError: no label file or column, an unknown label, an image that no row names.
    """
    entries = _entry_file(root)
    files = {path.name: path for path in sorted(root.glob("images*/**/*.png"))}
    if not files:
        raise DataError(root, "no PNG under images*/")
    images = [
        _image(row, entries, line, files[row["Image Index"]])
        for line, row in _rows(entries, _ENTRY_COLUMNS)
        if row["Image Index"] in files
    ]
    unnamed = files.keys() - {image.name for image in images}
    if unnamed:
        raise DataError(files[min(unnamed)], f"{len(unnamed)} image(s) without a row in {entries}")
    return images


def read_boxes(root: Path) -> dict[str, list[RegionBox]]:
    """NIH's hand-drawn boxes by image name; empty if `root` has no `BBox_List_2017.csv`.

    Raises:
        DataError: a missing column, an unknown label, a box outside its image or of no area.
    """
    path = root / "BBox_List_2017.csv"
    boxes: dict[str, list[RegionBox]] = {}
    if not path.exists():
        return boxes
    for line, row in _rows(path, _BOX_COLUMNS):
        try:
            region = parse_region(row["Finding Label"])
            x, y, width, height = (float(row[key]) for key in _BOX_COLUMNS[2:])
        except ValueError as error:
            raise DataError(path, str(error), line=line) from error
        box = RegionBox(region, x, y, x + width, y + height)
        check_box(box, path, line=line)
        boxes.setdefault(row["Image Index"], []).append(box)
    return boxes


def read_official_test_patients(root: Path) -> set[str]:
    """The patients of NIH's `test_list.txt`; empty if there is none."""
    path = root / "test_list.txt"
    if not path.exists():
        return set()
    return {patient_of(name.strip()) for name in path.read_text().splitlines() if name.strip()}


def check_box(box: RegionBox, path: Path, *, line: int | None = None, entry: str = "") -> None:
    """Raise DataError for a box of no area or outside the annotation frame (one pixel allowed)."""
    described = f"{entry}{box.region} [{box.x_min}, {box.y_min}, {box.x_max}, {box.y_max}]"
    if box.x_max <= box.x_min or box.y_max <= box.y_min:
        raise DataError(path, f"{described} has no area", line=line)
    limit = ANNOTATION_FRAME_PX + 1
    if min(box.x_min, box.y_min) < -1 or max(box.x_max, box.y_max) > limit:
        raise DataError(path, f"{described} lies outside the 1024 x 1024 frame", line=line)


def _entry_file(root: Path) -> Path:
    found = sorted(root.glob("Data_Entry_2017*.csv"))
    if not found:
        raise DataError(root, "no Data_Entry_2017*.csv (NIH's label file)")
    return found[-1]


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    # utf-8-sig: some mirrors of the CSV begin with a byte order mark.
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        # NIH's box list writes the bracketed header "Bbox [x,y,w,h]", which splits at its commas.
        missing = [column for column in required if column not in header]
        if missing:
            raise DataError(path, f"column {missing[0]!r} is missing", line=1)
        for line, values in enumerate(reader, start=2):
            if values:
                if len(values) < len(required):
                    raise DataError(
                        path, f"{len(values)} fields instead of {len(header)}", line=line
                    )
                yield line, dict(zip(header, values, strict=False))


def _image(row: dict[str, str], entries: Path, line: int, path: Path) -> Radiograph:
    labels = [label for label in row["Finding Labels"].split("|") if label != NO_FINDING]
    try:
        return Radiograph(
            name=row["Image Index"],
            path=path,
            patient=patient_of(row["Image Index"]),
            findings=frozenset(parse_finding(label) for label in labels),
            # The first edition of the label file writes ages as "058Y".
            age_years=int(row["Patient Age"].rstrip("YMD")),
            sex=row["Patient Gender"],
            view=row["View Position"],
        )
    except ValueError as error:
        raise DataError(entries, str(error), line=line) from error
