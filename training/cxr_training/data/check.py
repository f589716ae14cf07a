"""A check of data sets, before anything is trained on them: every file, row, box and name."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from cxr_contracts import NO_FINDING, Finding
from cxr_training.core.cpu import in_processes
from cxr_training.data import chestxdet, nih
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError, Problems
from cxr_training.data.nih import RegionBox, published_splits, reported_patients
from cxr_training.data.pixels import decode_grey
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import CHESTXDET_FOLDER, NIH_FOLDER, TEST_FOLDER, Split, split_sha256

MANIFEST_SUFFIX = ".csv"
# NIH's label file has a few patients of 150 to 414 years.
OLDEST_PLAUSIBLE_YEARS = 120
_CHUNK = 64
_SIZES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that decodes: its pixels across and down, and a digest of them (16 bytes)."""

    width_px: int
    height_px: int
    digest: bytes


@dataclass(slots=True)
class Report:
    """The data sets that are checked together, and what was found."""

    nih: Path | None = None
    chestxdet: Path | None = None
    manifests: list[Path] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    notes: list[str] = field(default_factory=list)
    images: tuple[Radiograph, ...] = ()
    """Of NIH and the manifests."""
    annotated: list[ChestXDetImage] = field(default_factory=list)
    nih_boxes: dict[str, list[RegionBox]] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    split_sha256: str = ""
    """As training writes it down: of the patients of NIH and the manifests, where there are any."""
    files: dict[Path, FileFacts] = field(default_factory=dict)

    def note(self, root: Path, count: int, what: str) -> None:
        """Say how many there are of what is no problem, if any."""
        if count:
            self.notes.append(f"{root}: {count} {what}")


def check(paths: Sequence[Path], processes: int | None = None) -> Report:
    """Check the sets under `paths` together.

    Args:
        paths: see `locate`.
        processes: how many decode at once; None for one a core.

    Raises:
        DataError: a path that is no data set.
    """
    report = locate(paths)
    collection = read_collection(
        report.nih, report.manifests, held_out=True, refuse=report.problems.refuse
    )
    report.images, report.splits = collection.images, dict(collection.splits)
    names = _check_nih(report, report.nih) if report.nih else None
    if report.chestxdet:
        _check_chestxdet(report, report.chestxdet, names)
    report.split_sha256 = split_sha256(collection.splits or report.splits)
    report.files, broken = examine(_files(report), processes)
    for error in broken:
        report.problems.refuse(error)
    _check_same_images(report)
    _note_labels(report)
    return report


def locate(paths: Iterable[Path]) -> Report:
    """The sets under `paths`: each an NIH folder, a ChestX-Det folder, both, or a CSV manifest.

    Raises:
        DataError: a path that does not exist or is none of these; two folders of one kind.
    """
    report = Report()
    for path in paths:
        if path.is_file() and path.suffix.lower() == MANIFEST_SUFFIX:
            report.manifests.append(path)
            continue
        nih_root, chestxdet_root = _folders(path)
        if (nih_root and report.nih) or (chestxdet_root and report.chestxdet):
            raise DataError(path, "is the second folder of its kind: check one at a time")
        report.nih = report.nih or nih_root
        report.chestxdet = report.chestxdet or chestxdet_root
    return report


def examine(
    paths: Sequence[Path], processes: int | None = None
) -> tuple[dict[Path, FileFacts], list[DataError]]:
    """The facts of each file that decodes, and an error for each that does not, by path.

    Memory: one image a process at a time, and some hundred bytes for each file.
    """
    facts: dict[Path, FileFacts] = {}
    broken: list[DataError] = []
    chunks = [tuple(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK)]
    with tqdm(total=len(paths), desc="decoding", unit="image") as bar:
        for examined in in_processes(_examine, chunks, processes):
            for path, found in examined:
                if isinstance(found, FileFacts):
                    facts[path] = found
                else:
                    broken.append(DataError(path, found))
            bar.update(len(examined))
    return facts, sorted(broken, key=lambda error: error.path)


def summary(report: Report) -> list[str]:
    """Images, patients, labels and boxes by split; sizes; the split's sha256."""
    rows = {"": [split.value for split in Split]}

    def count(name: str, patients: Iterable[str]) -> None:
        counts = Counter(report.splits[patient] for patient in patients)
        rows[name] = [f"{counts[split]:,}" for split in Split]

    images, annotated = report.images, report.annotated
    count("patients", {x.patient for x in images} | {x.patient for x in annotated})
    if images:
        count("images", (image.patient for image in images))
        if any(image.synthetic for image in images):
            count("of them synthetic", (image.patient for image in images if image.synthetic))
        count(NO_FINDING, (image.patient for image in images if not image.findings))
        for finding in Finding:
            count(finding.value, (i.patient for i in images if finding in i.findings))
    if annotated:
        count("ChestX-Det images", (image.patient for image in annotated))
    if report.nih_boxes:
        boxes = report.nih_boxes
        count("boxes of NIH", (i.patient for i in images for _ in boxes.get(i.name, ())))
    if any(image.boxes for image in annotated):
        count("boxes of ChestX-Det", (image.patient for image in annotated for _ in image.boxes))
    return split_table(rows, 12, report.files.values(), report.split_sha256)


def split_table(
    rows: Mapping[str, Sequence[str]], width: int, files: Iterable[FileFacts], split_sha256: str
) -> list[str]:
    """A column of `width` for each split, the sizes of the files, and the split's sha256."""
    names = max(map(len, rows))
    lines = [
        f"{name:<{names}}" + "".join(f"{x:>{width}}" for x in row) for name, row in rows.items()
    ]
    sizes = Counter((facts.width_px, facts.height_px) for facts in files)
    shown = [f"{across}x{down}: {n:,}" for (across, down), n in sizes.most_common(_SIZES_SHOWN)]
    if len(sizes) > _SIZES_SHOWN:
        shown.append(f"{len(sizes) - _SIZES_SHOWN} other sizes")
    listed = ", ".join(shown) or "no image"
    return [*lines, "", f"sizes (px): {listed}", f"split sha256: {split_sha256}"]


def _folders(path: Path) -> tuple[Path | None, Path | None]:
    """The NIH folder and the ChestX-Det folder that `path` is or holds."""
    if not path.exists():
        raise DataError(path, "no such file or folder")
    inner = [path / name for name in (NIH_FOLDER, CHESTXDET_FOLDER)]
    if any(folder.is_dir() for folder in inner):
        nih_root, chestxdet_root = (folder if folder.is_dir() else None for folder in inner)
        return nih_root, chestxdet_root
    if any(path.glob(nih.ENTRY_FILES)) or any(path.glob("images*/")):
        return path, None
    annotations = [chestxdet.annotation_file(path, part) for part in chestxdet.PARTS]
    if any(file.exists() for file in [path / chestxdet.NAME_MAP, *annotations]):
        return None, path
    raise DataError(
        path,
        f"is no NIH folder ({nih.ENTRY_FILES}, images*/), no ChestX-Det folder "
        f"({annotations[0].name}), holds no {NIH_FOLDER}/ or {CHESTXDET_FOLDER}/, and is no CSV "
        "manifest",
    )


def _check_nih(report: Report, root: Path) -> set[str]:
    """The names in the label file."""
    try:
        report.nih_boxes = nih.read_boxes(root, refuse=report.problems.refuse)
        names = set(nih.read_names(root))
    except DataError as error:
        report.problems.refuse(error)
        return set()
    files = nih.image_files(root).keys()
    report.note(root, len(names - files), "row(s) of the label file without an image here")
    for name in sorted(report.nih_boxes.keys() - names):
        report.problems.refuse(
            DataError(root / nih.BOX_LIST, f"{name} has no row in the label file")
        )
    boxed = report.nih_boxes.keys() & names
    report.note(root, len(boxed - files), "boxed image(s) that are not here")
    reported = {name[:8] for name in files} & reported_patients(root)
    what = f"patient(s) of the test set in {root.parent / TEST_FOLDER}: kept from training"
    report.note(root, len(reported), what)
    for name, without in (
        (nih.TEST_LIST, "patients of NIH's test would be trained on"),
        (nih.BOX_LIST, "there is no box, and the split is another"),
        (nih.TRAIN_LIST, "NIH's own split cannot be checked"),
    ):
        if not (root / name).exists():
            report.problems.refuse(DataError(root / name, f"is missing: {without}"))
    train = nih.read_list(root / nih.TRAIN_LIST, refuse=report.problems.refuse)
    test = nih.read_list(root / nih.TEST_LIST, refuse=report.problems.refuse)
    for patient in sorted({name[:8] for name in train} & {name[:8] for name in test}):
        said = f"patient {patient} is in {nih.TRAIN_LIST}, too"
        report.problems.refuse(DataError(root / nih.TEST_LIST, said))
    if train or test:
        report.note(root, len(files - {*train, *test}), "image(s) in neither of NIH's lists")
    return names


def _check_chestxdet(report: Report, root: Path, nih_names: set[str] | None) -> None:
    for part in chestxdet.PARTS:
        if part != "train" and not chestxdet.annotation_file(root, part).exists():
            continue
        try:
            report.annotated += chestxdet.read_images(
                root, part=part, held_out=True, refuse=report.problems.refuse
            )
        except DataError as error:
            report.problems.refuse(error)
    if nih_names is None:
        report.notes.append(
            f"{root}: NIH's lists are not here, so these patients' splits follow from their "
            "numbers alone"
        )
    else:
        for image in report.annotated:
            if image.nih_name not in nih_names:
                said = f"{image.name} is {image.nih_name}, which NIH's label file does not have"
                report.problems.refuse(DataError(root / chestxdet.NAME_MAP, said))
    others = {image.patient for image in report.annotated} - report.splits.keys()
    report.splits |= published_splits(report.nih, others, refuse=report.problems.refuse)


def _check_same_images(report: Report) -> None:
    """One image under two patients of two splits is a patient who crosses, whatever the names."""
    first: dict[bytes, tuple[Path, str]] = {}
    n_shared = 0
    images: list[Radiograph | ChestXDetImage] = [*report.images, *report.annotated]
    for image in images:
        path, patient = image.path, image.patient
        if path not in report.files:
            continue
        other, owner = first.setdefault(report.files[path].digest, (path, patient))
        if report.splits[owner] is not report.splits[patient]:
            said = (
                f"is the same image as {other}, but patient {patient} is in "
                f"{report.splits[patient]} and patient {owner} in {report.splits[owner]}"
            )
            report.problems.refuse(DataError(path, said))
        else:
            n_shared += owner != patient
    if n_shared:
        report.notes.append(f"{n_shared} image(s) are the same as another patient's")


def _note_labels(report: Report) -> None:
    """What the classifier's training would refuse, or a reader should know of the labels."""
    for split in (Split.TRAIN, Split.VALIDATION) if report.images else ():
        inside = (one for one in report.images if report.splits[one.patient] is split)
        found = {finding for image in inside for finding in image.findings}
        empty = [finding.value for finding in Finding if finding not in found]
        if empty:
            report.notes.append(
                f"no {split.value} image is positive for {', '.join(empty)}: the classifier "
                "refuses to train on these sets alone"
            )
    old = sum(image.age_years > OLDEST_PLAUSIBLE_YEARS for image in report.images)
    if old:
        report.notes.append(f"{old} image(s) of patients older than {OLDEST_PLAUSIBLE_YEARS} years")


def _files(report: Report) -> list[Path]:
    """Every image file, with or without a row."""
    files = {image.path for image in report.images}
    if report.nih:
        files |= set(nih.image_files(report.nih).values())
    if report.chestxdet:
        for part in chestxdet.PARTS:
            files |= set(chestxdet.image_files(report.chestxdet, part).values())
    return sorted(files)


def _examine(paths: tuple[Path, ...]) -> list[tuple[Path, FileFacts | str]]:
    """The facts of each file, or why it cannot be decoded."""
    examined: list[tuple[Path, FileFacts | str]] = []
    for path in paths:
        try:
            grey = decode_grey(path)
        except DataError as error:
            examined.append((path, error.detail))
            continue
        height, width = grey.shape
        digest = hashlib.blake2b(f"{width}x{height}:".encode(), digest_size=16)
        digest.update(grey.tobytes())
        examined.append((path, FileFacts(width, height, digest.digest())))
    return examined
