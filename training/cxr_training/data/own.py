"""A table of one's own images: labels of one's own, a split by patient, and boxes.

One row an image. Which column holds what follows from its name, or is told (`Layout`). Labels stand
in one column, several separated by `;` or `|`, or each has a column of 0 and 1. Everything that
cannot be taken is found, not only the first, so that it can be mended at once. docs/researcher.md
has the format.
"""

import csv
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TypeVar

from cxr_contracts import NO_FINDING, Finding, Region, parse_label
from cxr_training.core.errors import UserError
from cxr_training.data.annotations import AnnotatedImage, Annotations
from cxr_training.data.check import FileFacts, examine, split_table
from cxr_training.data.collection import Collection
from cxr_training.data.csv_rows import Row, parsed_rows, read_rows
from cxr_training.data.errors import DataError, Problems, Refuse, tried
from cxr_training.data.manifest_csv import SEXES, VIEWS, Entry, image_path, own_patient, parse_age
from cxr_training.data.nih import ANNOTATION_FRAME_PX, RegionBox
from cxr_training.data.pixels import PLAIN_SUFFIXES
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, refuse_test_folder, split_sha256

# By which names a column is known, small letters and `_` for spaces.
SPELLINGS = {
    "image": ("image", "path", "file", "filename", "file_name", "image_index", "image_path"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id"),
    "labels": ("labels", "label", "findings", "finding", "finding_labels"),
    "split": ("split", "fold", "set"),
    "age_years": ("age_years", "age", "patient_age"),
    "sex": ("sex", "gender", "patient_sex", "patient_gender"),
    "view": ("view", "view_position"),
    "synthetic": ("synthetic",),
    "unknown": ("unknown",),
}
_SPLITS = {
    **{split.value: split for split in Split},
    **{"val": Split.VALIDATION, "valid": Split.VALIDATION, "training": Split.TRAIN},
}
_CELLS = {"0": False, "0.0": False, "1": True, "1.0": True}
_NONE = {NO_FINDING.casefold(), "no_finding", "none", "normal"}
# Of every twenty patients; of a few, the first three go to three splits.
_DEALT = "tvs" + "t" * 5 + "v" + "t" * 4 + "s" + "t" * 3 + "vst"
_DEALT_TO = {"t": Split.TRAIN, "v": Split.VALIDATION, "s": Split.TEST}
_BOX_COLUMNS = ("x_min", "y_min", "x_max", "y_max")
_IMAGES = PLAIN_SUFFIXES | {".dcm"}
Taken = TypeVar("Taken")


class OwnDataError(UserError, ValueError):
    """The table cannot be trained on; the message lists every problem, a line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__("\n".join([f"{len(problems)} {noun}", *problems]))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns hold what, where their names do not say it; where the files lie."""

    image: str | None = None
    patient: str | None = None
    labels: str | None = None
    """The column of labels, several separated by `;` or `|`."""
    one_hot: tuple[str, ...] = ()
    """Columns of 0 and 1, each named as its label."""
    split: str | None = None
    images: Path | None = None
    """The folder that image names begin at; None: that of the table."""
    boxes: Path | None = None
    """COCO's JSON or a CSV."""


@dataclass(frozen=True, slots=True)
class OwnData:
    """What a table holds, with nothing left to object to."""

    csv: Path
    collection: Collection
    boxes: dict[Path, tuple[RegionBox, ...]]
    """Of each image, in the frame of `ANNOTATION_FRAME_PX`; empty without boxes."""
    files: dict[Path, FileFacts]
    notes: list[str]

    @property
    def split_sha256(self) -> str:
        """Names the split."""
        return split_sha256(self.collection.splits)

    def of(self, split: Split) -> list[Radiograph]:
        """The images of a split, in the order of the table."""
        splits = self.collection.splits
        return [image for image in self.collection.images if splits[image.patient] is split]

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the boxes are called, the order of a detector's classes."""
        return tuple(sorted({box.region for boxes in self.boxes.values() for box in boxes}))

    def annotations(self) -> Annotations:
        """The images as a detector learns from them: one without a box has none of the regions."""
        images = tuple(
            AnnotatedImage(
                name=f"{number:06d}.png",
                path=image.path,
                patient=image.patient,
                split=self.collection.splits[image.patient],
                source="own",
                side_px=self.files[image.path].width_px,
                boxes=self.boxes.get(image.path, ()),
                unknown=frozenset(),
            )
            for number, image in enumerate(self.collection.images)
        )
        return Annotations(images, self.collection.splits, self.regions)


def read_own(path: Path, layout: Layout, *, processes: int | None = None) -> OwnData:
    """Everything that `path` names, checked to the last pixel.

    Raises:
        OwnDataError: it cannot be trained on; the message names every problem with file and line.
    """
    problems, notes = Problems(), list[str]()
    refuse = problems.refuse
    entries, columns = _entries(path, layout, refuse, notes)
    files = _examined(entries, processes, refuse)
    paths = {entry.radiograph.path for entry in entries}
    for folder in sorted({path.parent for path in paths}):
        n = sum(x.suffix.lower() in _IMAGES and x not in paths for x in folder.iterdir())
        if n:
            notes.append(f"{folder}: {n} image(s) without a row, which nobody learns from")
    boxes: dict[Path, tuple[RegionBox, ...]] = {}
    first: dict[Region, _Place] = {}
    if layout.boxes is not None:
        boxes, first = _boxes(layout.boxes, entries, files, refuse)
        if columns is None:
            entries = [_labelled_by_boxes(entry, boxes) for entry in entries]
    labels = columns or tuple(
        Finding(x) for x in sorted({x for entry in entries for x in entry.radiograph.findings})
    )
    if entries and not labels and layout.boxes is None:
        refuse(DataError(path, "no row has a label", line=1))
    splits = _splits(entries, refuse)
    _check_labels(path, entries, labels, splits, refuse)
    _check_regions(first, entries, boxes, splits, refuse)
    _check_same_images(entries, files, splits, refuse)
    if problems:
        raise OwnDataError(list(problems))
    images = tuple(entry.radiograph for entry in entries)
    return OwnData(path, Collection(images, splits, labels), boxes, files, notes)


def read_for_fit(
    path: Path, layout: Layout, labels: Sequence[Finding], *, processes: int | None = None
) -> tuple[tuple[Radiograph, ...], list[str]]:
    """The images of a table that a model of `labels` is fitted to, and what a person should know.

    Those whose row states the split `validation`; all of them where no row states a split. An image
    of which a label is not known is left out.

    Raises:
        OwnDataError: it cannot be taken; the message names every problem with file and line.
    """
    problems, notes = Problems(), list[str]()
    refuse = problems.refuse
    entries, columns = _entries(path, layout, refuse, notes)
    known = ", ".join(labels)
    for entry in entries:
        refuse_test_folder(entry.radiograph.path)
        for label in sorted(entry.radiograph.findings - set(labels)):
            refuse(entry.error(f"label {label} is none of the model's: {known}"))
    for label in labels if columns else ():
        if label not in (columns or ()):
            refuse(DataError(path, f"there is no column for the model's label {label}", line=1))
    _examined(entries, processes, refuse)
    if problems:
        raise OwnDataError(list(problems))
    if any(entry.stated for entry in entries):
        entries = [entry for entry in entries if entry.stated is Split.VALIDATION]
    images = tuple(x.radiograph for x in entries if not x.radiograph.unknown)
    if len(images) < len(entries):
        left_out = len(entries) - len(images)
        notes.append(f"{path}: {left_out} image(s) left out, of which a label is not known")
    return images, notes


def _examined(
    entries: Iterable[Entry], processes: int | None, refuse: Refuse
) -> dict[Path, FileFacts]:
    at = {entry.radiograph.path: entry for entry in entries}
    files, broken = examine(list(at), processes)
    for error in broken:
        refuse(at[error.path].error(f"{at[error.path].radiograph.name} {error.detail}"))
    return files


def summary(own: OwnData) -> list[str]:
    """Images, patients and the prevalence of each label by split; boxes; sizes."""
    images, splits = own.collection.images, own.collection.splits
    of = {split: own.of(split) for split in Split}
    rows = {"": [split.value for split in Split]}
    rows["patients"] = [f"{len({x.patient for x in one}):,}" for one in of.values()]
    rows["images"] = [f"{len(one):,}" for one in of.values()]
    for label in own.collection.labels:
        counts = [sum(label in image.findings for image in one) for one in of.values()]
        rows[label.value] = [
            f"{n:,} ({n / len(one):.0%})" if one else "-"
            for n, one in zip(counts, of.values(), strict=True)
        ]
    for region in own.regions:
        drawn = Counter(
            splits[image.patient]
            for image in images
            for box in own.boxes.get(image.path, ())
            if box.region == region
        )
        rows[f"boxes of {region}"] = [f"{drawn[split]:,}" for split in Split]
    return split_table(rows, 16, own.files.values(), own.split_sha256)


def _entries(
    path: Path, layout: Layout, refuse: Refuse, notes: list[str]
) -> tuple[list[Entry], tuple[Finding, ...] | None]:
    """The rows, and the labels that columns are named for; None where boxes alone say them."""
    try:
        refuse_test_folder(path)
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header = [column.strip() for column in next(csv.reader(stream), [])]
        columns, one_hot = _columns(path, header, layout, refuse, notes)
    except DataError as error:
        refuse(error)
        return [], ()
    except (OSError, UnicodeDecodeError) as error:
        refuse(DataError(path, f"is no CSV in UTF-8 that can be read: {error}"))
        return [], ()
    entries: list[Entry] = []
    first: dict[Path, int] = {}
    needed = tuple({columns["image"], columns["patient"]})
    read = partial(read_rows, path, needed, allowed=header, refuse=refuse)
    for line, row in tried(lambda: list(read()), refuse):
        reader = _Row(row, columns, one_hot)
        entry = reader.entry(path, line, layout.images or path.parent, refuse)
        if entry is None:
            continue
        earlier = first.setdefault(entry.radiograph.path.resolve(), line)
        if earlier != line:
            refuse(entry.error(f"{entry.radiograph.name} stands on line {earlier} already"))
            continue
        entries.append(entry)
    if not entries:
        refuse(DataError(path, "has no row that can be taken", line=1))
    if "labels" in columns:
        return entries, ()
    return entries, tuple(one_hot.values()) if one_hot else None


def _columns(  # noqa: PLR0912 - one branch for each way to say it
    path: Path, header: list[str], layout: Layout, refuse: Refuse, notes: list[str]
) -> tuple[dict[str, str], dict[str, Finding]]:
    """The column of each kind of fact, and the label of each column of 0 and 1."""
    has = f"the table has {', '.join(header)}"
    plain = {column: column.casefold().replace(" ", "_") for column in header}
    columns: dict[str, str] = {}
    for kind, spelled in SPELLINGS.items():
        told = getattr(layout, kind, None)
        if told is not None and told not in header:
            raise DataError(path, f"there is no column {told!r}: {has}", line=1)
        column = told or next((x for name in spelled for x in header if plain[x] == name), None)
        # Columns that are told to be labels are that, whatever they are called.
        if column is not None and (told or column not in layout.one_hot):
            columns[kind] = column
    for kind in ("image", "patient"):
        if kind not in columns:
            known = ", ".join(SPELLINGS[kind])
            raise DataError(
                path,
                f"no column is that of the {kind}: {has}. Name it with --{kind}-column, or call it "
                f"one of {known}",
                line=1,
            )
    missing = [column for column in layout.one_hot if column not in header]
    if missing:
        raise DataError(path, f"there is no column {missing[0]!r}: {has}", line=1)
    rest = [column for column in header if column not in columns.values()]
    if layout.one_hot:
        columns.pop("labels", None)
        chosen = list(layout.one_hot)
    else:
        chosen = [] if "labels" in columns else rest
    one_hot: dict[str, Finding] = {}
    for column in chosen:
        try:
            one_hot[column] = parse_label(column)
        except ValueError as error:
            refuse(DataError(path, f"column {column!r} is to be a label: {error}", line=1))
    for column in [column for column in rest if column not in chosen]:
        # A misspelt column must not turn into a default.
        for kind, spelled in SPELLINGS.items():
            if kind not in columns and get_close_matches(plain[column], spelled, 1, 0.85):
                said = f"column {column!r} looks like {spelled[0]!r}: rename it, or remove it"
                refuse(DataError(path, said, line=1))
        notes.append(f"{path}: column {column!r} is not used")
    return columns, one_hot


@dataclass(frozen=True, slots=True)
class _Row:
    """A row, with the column of each kind of fact and the label of each column of 0 and 1."""

    cells: Row
    columns: dict[str, str]
    one_hot: dict[str, Finding]

    def field(self, kind: str) -> str:
        """What the row says of a kind of fact; empty where it is silent."""
        return self.cells[self.columns[kind]].strip() if kind in self.columns else ""

    def entry(self, path: Path, line: int, images: Path, refuse: Refuse) -> Entry | None:
        """The row as an image; None where something of it was refused, each thing by itself."""
        wrong: list[str] = []

        def taken(read: Callable[[], Taken], default: Taken) -> Taken:
            try:
                return read()
            except ValueError as error:
                wrong.append(str(error))
                return default

        found, unknown = self._labels(wrong)
        said = self.field("split").casefold()
        if said and said not in _SPLITS:
            wrong.append(f"split {said!r} is none of {', '.join(_SPLITS)}")
        split = _SPLITS.get(said)
        synthetic = taken(lambda: _one_of("synthetic", self.field("synthetic"), ("0", "1")), "")
        only_trains = bool(unknown) or synthetic == "1"
        if only_trains and split not in (None, Split.TRAIN):
            why = (
                f"nothing is known of {', '.join(sorted(unknown))}"
                if unknown
                else "it is synthetic"
            )
            wrong.append(f"{why}: such an image only trains, and its split is {split}")
        name, sex = self.field("image"), self.field("sex")[:1].upper()
        image = Radiograph(
            name=name,
            path=taken(lambda: image_path(name, images), path),
            patient=taken(lambda: own_patient(self.field("patient")), ""),
            findings=frozenset(found),
            age_years=taken(lambda: parse_age(self.field("age_years")), -1),
            sex=taken(lambda: _one_of("sex", sex, SEXES), ""),
            view=taken(lambda: _one_of("view", self.field("view").upper(), VIEWS), ""),
            synthetic=synthetic == "1",
            unknown=frozenset(unknown),
        )
        for detail in wrong:
            refuse(DataError(path, detail, line=line))
        return None if wrong else Entry(image, path, line, Split.TRAIN if only_trains else split)

    def _labels(self, wrong: list[str]) -> tuple[set[Finding], set[Finding]]:
        """Those that are there, and those of which nothing is known."""
        found, unknown = set[Finding](), set[Finding]()
        for column, label in self.one_hot.items():
            cell = self.cells[column].strip()
            if not cell:
                unknown.add(label)
            elif cell not in _CELLS:
                wrong.append(f"{column} {cell!r} is none of 0, 1, or nothing (not known)")
            elif _CELLS[cell]:
                found.add(label)
        texts = _listed(self.field("labels"))
        named = [x for x in texts if x.casefold() not in _NONE]
        for listed, into in ((named, found), (_listed(self.field("unknown")), unknown)):
            for text in listed:
                try:
                    into.add(parse_label(text))
                except ValueError as error:
                    wrong.append(str(error))
        if both := sorted(found & unknown):
            wrong.append(f"{both[0]} is a label of the image and unknown at once")
        if named and any(x.casefold() in _NONE for x in texts):
            wrong.append(f"{self.field('labels')!r} names a label beside {NO_FINDING!r}")
        return found, unknown


def _listed(text: str) -> list[str]:
    return [x.strip() for x in text.replace(";", "|").split("|") if x.strip()]


def _one_of(kind: str, text: str, allowed: tuple[str, ...]) -> str:
    if text and text not in allowed:
        raise ValueError(f"{kind} {text!r} is none of {', '.join(allowed)}, or nothing")
    return text


def _splits(entries: Sequence[Entry], refuse: Refuse) -> dict[str, Split]:
    """As the rows say, or dealt so that each label is in each split."""
    stated: dict[str, Entry] = {}
    for entry in entries:
        if entry.stated is None:
            continue
        earlier = stated.setdefault(entry.radiograph.patient, entry)
        if earlier.stated is not entry.stated:
            refuse(
                entry.error(
                    f"patient {entry.radiograph.patient.removeprefix('own:')} is in {entry.stated} "
                    f"here and in {earlier.stated} on line {earlier.line}: one patient, one split"
                )
            )
    splits = {patient: entry.stated for patient, entry in stated.items() if entry.stated}
    return splits | _dealt(
        [entry.radiograph for entry in entries if entry.radiograph.patient not in splits]
    )


def _dealt(images: Iterable[Radiograph]) -> dict[str, Split]:
    """14 of 20 patients to train, 3 to validate, 3 to test on, of those of each rarest label."""
    found: defaultdict[str, set[Finding]] = defaultdict(set)
    for image in images:
        found[image.patient] |= image.findings
    common = Counter(label for labels in found.values() for label in labels)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for patient, labels in found.items():
        groups[min(labels, key=lambda x: (common[x], x), default="")].append(patient)
    splits = {}
    for patients in groups.values():
        patients.sort(key=lambda x: hashlib.sha256(f"cxr-own-1:{x}".encode()).digest())
        for place, patient in enumerate(patients):
            splits[patient] = _DEALT_TO[_DEALT[place % len(_DEALT)]]
    return splits


def _check_labels(
    path: Path,
    entries: Sequence[Entry],
    labels: Iterable[Finding],
    splits: dict[str, Split],
    refuse: Refuse,
) -> None:
    """Each label must be in each split that there is, and not on every image to train on."""
    present = [x for x in Split if x is not Split.TEST or x in splits.values()]
    of = {x: [e for e in entries if splits[e.radiograph.patient] is x] for x in present}
    if not entries:
        return
    for split in (x for x in present if not of[x]):
        refuse(DataError(path, f"no image is of a {split} patient: name some in `split`, or none"))
    for label in labels:
        where = [x for x in present if any(label in e.radiograph.findings for e in of[x])]
        absent = [x for x in present if x not in where and of[x]]
        line = next((e.line for e in entries if label in e.radiograph.findings), 1)
        if absent:
            refuse(
                DataError(
                    path,
                    f"label {label} is on no image of {', '.join(absent)}"
                    f"{f', on {where[0]} patients alone' if len(where) == 1 else ''}: each split "
                    "needs a patient with it; add some, state the split, or leave the label out",
                    line=line,
                )
            )
        known = [e for e in of[Split.TRAIN] if label not in e.radiograph.unknown]
        if known and all(label in e.radiograph.findings for e in known):
            said = f"label {label} is on every image to train on: there is nothing to tell apart"
            refuse(DataError(path, said, line=line))


def _check_same_images(
    entries: Sequence[Entry],
    files: dict[Path, FileFacts],
    splits: dict[str, Split],
    refuse: Refuse,
) -> None:
    """One image under two patients of two splits is a patient who crosses, whatever the names."""
    first: dict[bytes, Entry] = {}
    for entry in entries:
        image = entry.radiograph
        if image.path not in files:
            continue
        other = first.setdefault(files[image.path].digest, entry)
        before = other.radiograph
        if splits[image.patient] is not splits[before.patient]:
            refuse(
                entry.error(
                    f"{image.name} ({splits[image.patient]}) is the same image as {before.name} "
                    f"on line {other.line} ({splits[before.patient]}): one of them has to go"
                )
            )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a box stands: the file, and its line or its place among the annotations."""

    path: Path
    at: str = ""
    line: int | None = None

    def error(self, said: str) -> DataError:
        return DataError(self.path, f"{self.at}{said}", line=self.line)


def _boxes(
    path: Path, entries: Sequence[Entry], files: dict[Path, FileFacts], refuse: Refuse
) -> tuple[dict[Path, tuple[RegionBox, ...]], dict[Region, _Place]]:
    """The boxes of each image by its path, in the frame that detectors learn in; where each kind
    stands first.
    """
    readers = {".json": _coco, ".csv": _box_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        said = f"is of no known format: boxes are COCO (.json) or a table (.csv), not {path.suffix}"
        refuse(DataError(path, said))
        return {}, {}
    by_name: dict[str, Path] = {}
    for entry in entries:
        # COCO's files often name an image without its folder.
        by_name.setdefault(Path(entry.radiograph.name).name, entry.radiograph.path)
    by_name |= {entry.radiograph.name: entry.radiograph.path for entry in entries}
    found: defaultdict[Path, list[RegionBox]] = defaultdict(list)
    first: dict[Region, _Place] = {}
    for place, name, label, corners in tried(lambda: reader(path, refuse), refuse):
        try:
            region = Region(parse_label(label))
        except ValueError as error:
            refuse(place.error(str(error)))
            continue
        image = by_name.get(name)
        if image is None:
            refuse(place.error(f"image {name!r} has no row in the table"))
            continue
        if image not in files:
            continue  # it was refused for itself
        width, height = files[image].width_px, files[image].height_px
        x_min, y_min, x_max, y_max = corners
        if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
            said = f"the box {list(corners)} does not lie in {name}, which has {width}x{height} px"
            refuse(place.error(said))
            continue
        first.setdefault(region, place)
        across, down = ANNOTATION_FRAME_PX / width, ANNOTATION_FRAME_PX / height
        found[image].append(
            RegionBox(region, x_min * across, y_min * down, x_max * across, y_max * down)
        )
    return {image: tuple(boxes) for image, boxes in found.items()}, first


def _check_regions(
    first: dict[Region, _Place],
    entries: Sequence[Entry],
    boxes: dict[Path, tuple[RegionBox, ...]],
    splits: dict[str, Split],
    refuse: Refuse,
) -> None:
    """Each kind of box is learnt from training patients and measured on validation patients."""
    on: defaultdict[Region, set[Split]] = defaultdict(set)
    for entry in entries:
        for box in boxes.get(entry.radiograph.path, ()):
            on[box.region].add(splits[entry.radiograph.patient])
    for region, place in first.items():
        missing = [split for split in (Split.TRAIN, Split.VALIDATION) if split not in on[region]]
        if missing and on[region]:
            there = " and ".join(sorted(split.value for split in on[region]))
            refuse(
                place.error(
                    f"a box of {region} is on no image of {' and '.join(missing)}, on {there} "
                    "patients alone: train and validation each need one"
                )
            )


_Boxes = list[tuple[_Place, str, str, tuple[float, ...]]]


def _coco(path: Path, refuse: Refuse) -> _Boxes:
    """COCO's boxes: place, image, label, corners in px."""
    try:
        content = json.loads(path.read_text())
        images = {one["id"]: str(one["file_name"]) for one in content["images"]}
        names = {one["id"]: str(one["name"]) for one in content["categories"]}
        annotations = content["annotations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            path, f"is no COCO file with images, categories and annotations: {error!r}"
        ) from error
    boxes: _Boxes = []
    for number, one in enumerate(annotations):
        place = _Place(path, f"annotations[{number}]: ")
        try:
            x, y, width, height = (float(value) for value in one["bbox"])
            where = images[one["image_id"]], names[one["category_id"]]
        except (KeyError, TypeError, ValueError) as error:
            said = "image_id, category_id and bbox [x, y, width, height] are needed"
            refuse(place.error(f"{said}: {error!r}"))
            continue
        boxes.append((place, *where, (x, y, x + width, y + height)))
    return boxes


def _box_rows(path: Path, refuse: Refuse) -> _Boxes:
    """A table's boxes, likewise."""

    def parse(line: int, row: Row) -> tuple[_Place, str, str, tuple[float, ...]]:
        try:
            corners = tuple(float(row[column]) for column in _BOX_COLUMNS)
        except ValueError as error:
            raise ValueError(f"{', '.join(_BOX_COLUMNS)} are pixels: {error}") from error
        return _Place(path, line=line), row["image"].strip(), row["label"], corners

    return parsed_rows(path, ("image", "label", *_BOX_COLUMNS), parse, refuse=refuse)


def _labelled_by_boxes(entry: Entry, boxes: dict[Path, tuple[RegionBox, ...]]) -> Entry:
    drawn = frozenset(Finding(box.region.value) for box in boxes.get(entry.radiograph.path, ()))
    return replace(entry, radiograph=replace(entry.radiograph, findings=drawn))
