"""NIH ChestX-ray14 in its published layout (Wang et al., CVPR 2017; NIH Clinical Center).

Reads `Data_Entry_2017*.csv`, `BBox_List_2017.csv`, the official lists and `images*/`. The full
download and a part of it are read alike: rows whose image is absent are an error only when asked.

`read_boxed` is the one home of the split: a patient on whom NIH drew a box is held out only where a
test set beside the data names them (`assign_splits`), so a split is right only where the box list
and that folder were read, too.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import Region, parse_region
from cxr_training.data.csv_rows import Row, parsed_rows, read_rows
from cxr_training.data.errors import DataError, HeldOutError, Refuse, at_once, tried
from cxr_training.data.radiographs import Radiograph, parse_findings
from cxr_training.data.splits import NIH_FOLDER, TEST_FOLDER, Split, assign_splits, in_test_folder

ENTRY_FILES = "Data_Entry_2017*.csv"
BOX_LIST = "BBox_List_2017.csv"
TEST_LIST = "test_list.txt"
TRAIN_LIST = "train_val_list.txt"

# Lossless, or lossy where the originals would be too large to hand on.
IMAGE_SUFFIXES = (".png", ".webp")
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


def read_images(
    root: Path, *, held_out: bool = False, refuse: Refuse = at_once
) -> list[Radiograph]:
    """All radiographs under `root/images*/`, in the order of the label file.

    Args:
        root: the folder of the label file.
        held_out: let a test set pass; for evaluation alone (`data.test_set`).
        refuse: called for an entry that cannot be taken: an unknown label, a repeated name, an
            image that no row names.

    Raises:
        DataError: no image, no label file, a missing column, a test set; what `refuse` raises.
    """
    entries = entry_file(root)
    if not held_out and is_held_out(root):
        raise HeldOutError(root)
    files = image_files(root)
    if not files:
        raise DataError(root, "no PNG and no WebP under images*/")
    rows: dict[str, int] = {}

    def parse(line: int, row: Row) -> Radiograph:
        name = row["Image Index"]
        if name in rows:
            raise ValueError(f"{name} stands on line {rows[name]} already")
        rows[name] = line
        return _image(row, files.get(name, root))

    images = parsed_rows(entries, _ENTRY_COLUMNS, parse, refuse=refuse)
    unnamed = sorted(files.keys() - rows.keys())
    for name in unnamed:
        among = f" (one of {len(unnamed)} such images)" if len(unnamed) > 1 else ""
        refuse(DataError(files[name], f"has no row in {entries.name}{among}"))
    return [image for image in images if image.name in files]


def image_files(root: Path) -> dict[str, Path]:
    """The files under `root/images*/` by NIH's name; the full download has twelve such folders.

    The label file says `00000001_000.png`; the file may be a WebP of the same stem. DataError for
    two files of one stem.
    """
    return files_by_name(root.glob("images*/**/*"))


def files_by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """The image files among `paths` by the name that the published lists use, `<stem>.png`."""
    files: dict[str, Path] = {}
    for path in sorted(paths):
        if path.suffix in IMAGE_SUFFIXES:
            first = files.setdefault(f"{path.stem}.png", path)
            if first is not path:
                raise DataError(path, f"is the same image as {first}: remove one of them")
    return files


def is_held_out(root: Path) -> bool:
    """Whether the folder in NIH's layout is a test set.

    It lies in a test set's folder, or every patient of its label file is on NIH's official test
    list and not all of them have NIH's boxes (`data.splits`).
    """
    if in_test_folder(root):
        return True
    official = {name[:8] for name in read_list(root / TEST_LIST, refuse=_let_pass)}
    labelled = official and any(root.glob(ENTRY_FILES))
    patients = {name[:8] for name in read_names(root)} if labelled else set()
    return bool(patients) and patients <= official and patients != _boxed_patients(root, patients)


def read_names(root: Path) -> list[str]:
    """The names in the label file, those without a file included. DataError as `read_images`."""
    return [row["Image Index"] for _, row in read_rows(entry_file(root), ("Image Index",))]


def read_boxes(root: Path, *, refuse: Refuse = at_once) -> dict[str, list[RegionBox]]:
    """NIH's hand-drawn boxes by image name; empty if `root` has no `BBox_List_2017.csv`.

    Args:
        root: the folder of the box list.
        refuse: called for a bad name, an unknown label, a box outside its image or of no area.

    Raises:
        DataError: a missing column; what `refuse` raises.
    """
    path = root / BOX_LIST
    boxes: dict[str, list[RegionBox]] = {}

    def parse(_: int, row: Row) -> None:
        patient_of(row["Image Index"])
        region = parse_region(row["Finding Label"])
        x, y, width, height = (float(row[key]) for key in _BOX_COLUMNS[2:])
        box = checked_box(RegionBox(region, x, y, x + width, y + height))
        boxes.setdefault(row["Image Index"], []).append(box)

    if path.exists():
        parsed_rows(path, _BOX_COLUMNS, parse, refuse=refuse)
    return boxes


def read_list(path: Path, *, refuse: Refuse = at_once) -> list[str]:
    """The image names of one of NIH's official lists; none if there is no such file."""
    if not path.exists():
        return []
    names = []
    for line, text in enumerate(path.read_text().splitlines(), start=1):
        name = text.strip()
        if not name:
            continue
        try:
            patient_of(name)
        except ValueError as error:
            refuse(DataError(path, str(error), line=line))
        else:
            names.append(name)
    return names


def _let_pass(_: DataError) -> None:
    """Whoever reads the images or the lists will say it."""


def _boxed_patients(root: Path, patients: set[str]) -> set[str]:
    path = root / BOX_LIST
    if not path.exists():
        return set()
    return patients & {row["Image Index"][:8] for _, row in read_rows(path, ("Image Index",))}


def checked_box(box: RegionBox) -> RegionBox:
    """The box; ValueError for no area, or outside the annotation frame (one pixel allowed)."""
    described = f"{box.region} [{box.x_min}, {box.y_min}, {box.x_max}, {box.y_max}]"
    if box.x_max <= box.x_min or box.y_max <= box.y_min:
        raise ValueError(f"{described} has no area")
    limit = ANNOTATION_FRAME_PX + 1
    if min(box.x_min, box.y_min) < -1 or max(box.x_max, box.y_max) > limit:
        raise ValueError(f"{described} lies outside the 1024 x 1024 frame")
    return box


def entry_file(root: Path) -> Path:
    """The label file, the latest edition of it where there are several; DataError for none."""
    found = sorted(root.glob(ENTRY_FILES))
    if not found:
        raise DataError(root, f"no {ENTRY_FILES} (NIH's label file)")
    return found[-1]


def _image(row: Row, path: Path) -> Radiograph:
    name = row["Image Index"]
    patient = patient_of(name)
    if int(row["Patient ID"]) != int(patient):
        raise ValueError(f"{name} is said to be of patient {row['Patient ID']!r}")
    return Radiograph(
        name=name,
        path=path,
        patient=patient,
        findings=parse_findings(row["Finding Labels"]),
        age_years=_years(row["Patient Age"]),
        sex=row["Patient Gender"],
        view=row["View Position"],
    )


def _years(age: str) -> int:
    """The first edition of the label file writes `058Y`, and infants as `013M` or `005D`."""
    number = int(age.rstrip("YMD"))
    return number // {"M": 12, "D": 365}.get(age[-1], 1)


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
    images = {image.name: image for image in read_images(nih_root, held_out=held_out)}
    patients = (image.patient for image in images.values())
    return BoxedRadiographs(images, read_boxes(nih_root), published_splits(nih_root, patients))


def published_splits(
    nih_root: Path | None, patients: Iterable[str], *, refuse: Refuse = at_once
) -> dict[str, Split]:
    """The splits of `patients`, with the lists and boxes of `nih_root` where there is one."""
    if nih_root is None:
        return assign_splits(patients, official_test=set(), boxed=set())
    names = read_list(nih_root / TEST_LIST, refuse=refuse)
    if is_held_out(nih_root):
        # NIH drew its boxes on test patients; here nobody trains, so all of them stay.
        return dict.fromkeys(sorted(set(patients)), Split.TEST)
    boxes = tried(lambda: list(read_boxes(nih_root, refuse=refuse)), refuse)
    return assign_splits(
        patients,
        official_test={patient_of(name) for name in names},
        boxed={patient_of(name) for name in boxes},
        reported=reported_patients(nih_root),
    )


def reported_patients(nih_root: Path) -> set[str]:
    """The patients whose radiographs lie in a test set's folder beside `nih_root`."""
    return {name[:8] for name in image_files(nih_root.parent / TEST_FOLDER / NIH_FOLDER)}
