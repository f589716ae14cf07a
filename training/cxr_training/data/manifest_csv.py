"""A plain CSV manifest: a hospital's own radiographs, or images that a generator made.

One row an image. The columns `image` (a path below the CSV's folder), `patient` and `findings`
(NIH's names separated by `|`, or `No Finding`) are required; `age_years`, `sex`, `view`,
`synthetic`, `unknown` and `split` are not. docs/data.md has the format.

A patient `P` of a manifest is `own:P` from here on, so that a hospital's eight digits never meet
NIH's; `nih:00000013` names a patient of NIH on purpose. All manifests share one name space: two of
one hospital then agree on a patient's split, and if two hospitals happen to use one number, two
people stand in the same split, which leaks nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cxr_contracts import Finding, parse_finding
from cxr_training.data.csv_rows import Row, parsed_rows, read_rows
from cxr_training.data.errors import DataError, Refuse, at_once
from cxr_training.data.radiographs import Radiograph, parse_findings
from cxr_training.data.splits import Split

REQUIRED = ("image", "patient", "findings")
COLUMNS = (*REQUIRED, "age_years", "sex", "view", "synthetic", "unknown", "split")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
OWN, NIH = "own:", "nih:"
# A patient of this prefix was invented by a generator, and no radiograph of a person is theirs.
SYNTHETIC_PATIENT = "synthetic:"
SEXES = ("M", "F", "O")
VIEWS = ("PA", "AP")
OLDEST_YEARS = 130
_NIH_PATIENT = re.compile(r"nih:\d{8}")
# A comma or a line break would break the list of splits, whose sha256 names the split.
_OWN_PATIENT = re.compile(r"[^,\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: the radiograph, where it stands, and the split that it asks for, if any."""

    radiograph: Radiograph
    csv: Path
    line: int
    stated: Split | None

    def error(self, detail: str) -> DataError:
        """An error at this row."""
        return DataError(self.csv, detail, line=self.line)


def read_entries(path: Path, *, refuse: Refuse = at_once) -> list[Entry]:
    """The rows of the manifest `path`, each checked by itself.

    Args:
        path: the CSV.
        refuse: called for each row that cannot be taken.

    Raises:
        DataError: no such file, a missing or unknown column, no row; what `refuse` raises.
    """
    lines = []

    def parse(line: int, row: Row) -> Entry:
        lines.append(line)
        return _entry(row, path, line)

    entries = parsed_rows(path, REQUIRED, parse, allowed=COLUMNS, refuse=refuse)
    if not lines:
        raise DataError(path, "has no row")
    return entries


def check_files(entries: Iterable[Entry], *, refuse: Refuse = at_once) -> None:
    """Refuse an image that is named twice, and one that lies beside named ones but is not named.

    A file that a label was forgotten for would otherwise be left out in silence.
    """
    first: dict[Path, Entry] = {}
    folders: dict[Path, Path] = {}
    for entry in entries:
        path = entry.radiograph.path.resolve()
        earlier = first.setdefault(path, entry)
        if earlier is not entry:
            where = f"{earlier.csv}:{earlier.line}"
            refuse(entry.error(f"{entry.radiograph.name} is named already ({where})"))
        folders.setdefault(path.parent, entry.csv)
    unnamed = [
        (path, csv)
        for folder, csv in folders.items()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and path.resolve() not in first
    ]
    # A row that was refused for something else names its image all the same.
    named = _named_paths({csv for _, csv in unnamed})
    for path, csv in unnamed:
        if path.resolve() not in named:
            refuse(DataError(path, f"has no row in {csv}"))


def _named_paths(manifests: Iterable[Path]) -> set[Path]:
    return {
        (csv.parent / row["image"].strip()).resolve()
        for csv in manifests
        for _, row in read_rows(csv, ("image",))
    }


def stated_splits(entries: Iterable[Entry], *, refuse: Refuse = at_once) -> dict[str, Entry]:
    """By patient, the first entry that states a split; refuse an entry that states another."""
    stated: dict[str, Entry] = {}
    for entry in entries:
        if entry.stated is None:
            continue
        earlier = stated.setdefault(entry.radiograph.patient, entry)
        if earlier.stated is not entry.stated:
            refuse(
                entry.error(
                    f"patient {entry.radiograph.patient} is in {entry.stated} here and in "
                    f"{earlier.stated} on {earlier.csv}:{earlier.line}: one patient, one split"
                )
            )
    return stated


def _entry(row: Row, csv: Path, line: int) -> Entry:
    name = row["image"].strip()
    synthetic = _one_of(row, "synthetic", ("0", "1")) == "1"
    split = _one_of(row, "split", tuple(Split))
    if synthetic and split not in ("", Split.TRAIN):
        raise ValueError(
            f"{name} is synthetic and cannot be in {split}: synthetic images only train"
        )
    patient = row["patient"].strip()
    if patient.startswith(SYNTHETIC_PATIENT) and not synthetic:
        raise ValueError(f"patient {patient} was made by a generator, but {name} is not synthetic")
    findings = parse_findings(row["findings"].strip())
    image = Radiograph(
        name=name,
        path=image_path(name, csv.parent),
        patient=own_patient(patient),
        findings=findings,
        age_years=parse_age(row.get("age_years", "").strip()),
        sex=_one_of(row, "sex", SEXES),
        view=_one_of(row, "view", VIEWS),
        synthetic=synthetic,
        unknown=_unknown(row.get("unknown", "").strip(), findings, split),
    )
    return Entry(image, csv, line, Split(split) if split else None)


def _unknown(text: str, findings: frozenset[Finding], split: str) -> frozenset[Finding]:
    """The findings of which nothing is known; none for an empty field."""
    if not text:
        return frozenset()
    unknown = frozenset(parse_finding(name) for name in text.split("|"))
    if both := sorted(unknown & findings):
        raise ValueError(f"{both[0]} is a finding and unknown at once")
    if split != Split.TRAIN:
        raise ValueError("an image with unknown findings only trains: its split has to be train")
    return unknown


def image_path(name: str, folder: Path) -> Path:
    """The file of an image below `folder`; ValueError if there is none, or it lies elsewhere."""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"image {name!r} is no path below the folder of the manifest")
    path = folder / relative
    if not path.is_file():
        raise ValueError(f"image {name!r}: no such file")
    return path


def own_patient(text: str) -> str:
    """A patient as all data sets together name one; ValueError."""
    if text.startswith(NIH):
        if not _NIH_PATIENT.fullmatch(text):
            raise ValueError(f"patient {text!r}: NIH's numbers have eight digits")
        return text.removeprefix(NIH)
    if not _OWN_PATIENT.fullmatch(text):
        raise ValueError(f"patient {text!r} is empty, or has a comma or a line break")
    return OWN + text


def parse_age(text: str) -> int:
    """Whole years, -1 for nothing; ValueError."""
    if not text:
        return -1
    if not text.isdecimal() or int(text) > OLDEST_YEARS:
        raise ValueError(f"age_years {text!r} is no whole number from 0 to {OLDEST_YEARS}")
    return int(text)


def _one_of(row: Row, column: str, allowed: tuple[str, ...]) -> str:
    """The field of an optional column; empty where the column or its field is."""
    text = row.get(column, "").strip()
    if text and text not in allowed:
        raise ValueError(f"{column} {text!r} is none of {', '.join(allowed)}")
    return text
