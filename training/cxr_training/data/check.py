"""A check of data sets, before anything is trained on them: every file, row, box and name."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from cxr_training.core.parallel import in_processes
from cxr_training.data import chestxdet, nih
from cxr_training.data.boxed import published_splits
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.layout import CHESTXDET_FOLDER, NIH_FOLDER
from cxr_training.data.pixels import decode_grey
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, split_sha256

MANIFEST_SUFFIX = ".csv"
_CHUNK = 64


@dataclass(slots=True)
class Sets:
    """The data sets to check together."""

    nih: Path | None = None
    chestxdet: Path | None = None
    manifests: list[Path] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that decodes: its pixels across and down, and a digest of them (16 bytes)."""

    width_px: int
    height_px: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Examined:
    facts: list[tuple[Path, FileFacts]]
    broken: list[tuple[Path, str]]


@dataclass(slots=True)
class Report:
    """What was found."""

    sets: Sets
    problems: dict[str, None] = field(default_factory=dict)
    """Sentences, in the order in which they were met, each once."""
    notes: list[str] = field(default_factory=list)
    images: tuple[Radiograph, ...] = ()
    """Of NIH and the manifests."""
    annotated: list[ChestXDetImage] = field(default_factory=list)
    nih_boxes: dict[str, list[nih.RegionBox]] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    split_sha256: str = ""
    """As training writes it down: of the patients of NIH and the manifests, where there are any."""
    files: dict[Path, FileFacts] = field(default_factory=dict)

    def refuse(self, error: DataError) -> None:
        """Keep a problem; two readers may meet the same."""
        self.problems[str(error)] = None


def check(paths: Sequence[Path], processes: int | None = None) -> Report:
    """Check the sets under `paths` together.

    Args:
        paths: see `locate`.
        processes: how many decode at once; None for one a core.

    Raises:
        DataError: a path that is no data set.
    """
    report = Report(locate(paths))
    sets = report.sets
    collection = read_collection(sets.nih, sets.manifests, held_out=True, refuse=report.refuse)
    report.images, report.splits = collection.images, dict(collection.splits)
    names = _check_nih(report, sets.nih) if sets.nih else None
    if sets.chestxdet:
        _check_chestxdet(report, sets.chestxdet, names)
    report.split_sha256 = split_sha256(collection.splits or report.splits)
    report.files, broken = examine(_files(report), processes)
    for error in broken:
        report.refuse(error)
    _check_same_images(report)
    return report


def _check_nih(report: Report, root: Path) -> set[str]:
    """The names in the label file."""
    try:
        report.nih_boxes = nih.read_boxes(root, refuse=report.refuse)
        names = set(nih.read_names(root))
    except DataError as error:
        report.refuse(error)
        return set()
    files = nih.image_files(root).keys()
    _note(report, root, len(names - files), "row(s) of the label file without an image here")
    for name in sorted(report.nih_boxes.keys() - names):
        report.refuse(DataError(root / nih.BOX_LIST, f"{name} has no row in the label file"))
    boxed = report.nih_boxes.keys() & names
    _note(report, root, len(boxed - files), "boxed image(s) that are not here")
    _check_lists(report, root, set(files))
    return names


def _check_lists(report: Report, root: Path, files: set[str]) -> None:
    for name, without in (
        (nih.TEST_LIST, "patients of NIH's test would be trained on"),
        (nih.BOX_LIST, "there is no box, and the split is another"),
        (nih.TRAIN_LIST, "NIH's own split cannot be checked"),
    ):
        if not (root / name).exists():
            report.refuse(DataError(root / name, f"is missing: {without}"))
    train = nih.read_list(root / nih.TRAIN_LIST, refuse=report.refuse)
    test = nih.read_list(root / nih.TEST_LIST, refuse=report.refuse)
    both = {nih.patient_of(name) for name in train} & {nih.patient_of(name) for name in test}
    for patient in sorted(both):
        said = f"patient {patient} is in {nih.TRAIN_LIST}, too"
        report.refuse(DataError(root / nih.TEST_LIST, said))
    if train or test:
        _note(report, root, len(files - {*train, *test}), "image(s) in neither of NIH's lists")


def _check_chestxdet(report: Report, root: Path, nih_names: set[str] | None) -> None:
    for part in chestxdet.PARTS:
        if part != "train" and not chestxdet.annotation_file(root, part).exists():
            continue
        try:
            report.annotated += chestxdet.read_images(
                root, part=part, held_out=True, refuse=report.refuse
            )
        except DataError as error:
            report.refuse(error)
    if nih_names is None:
        report.notes.append(
            f"{root}: NIH's lists are not here, so these patients' splits follow from their "
            "numbers alone"
        )
    else:
        for image in report.annotated:
            if image.nih_name not in nih_names:
                said = f"{image.name} is {image.nih_name}, which NIH's label file does not have"
                report.refuse(DataError(root / chestxdet.NAME_MAP, said))
    others = {image.patient for image in report.annotated} - report.splits.keys()
    report.splits |= published_splits(report.sets.nih, others, refuse=report.refuse)


def _check_same_images(report: Report) -> None:
    """One image under two patients of two splits is a patient who crosses, whatever the names."""
    first: dict[bytes, tuple[Path, str]] = {}
    n_shared = 0
    for path, patient in _patients(report):
        if path not in report.files:
            continue
        other, owner = first.setdefault(report.files[path].digest, (path, patient))
        if report.splits[owner] is not report.splits[patient]:
            said = (
                f"is the same image as {other}, but patient {patient} is in "
                f"{report.splits[patient]} and patient {owner} in {report.splits[owner]}"
            )
            report.refuse(DataError(path, said))
        else:
            n_shared += owner != patient
    if n_shared:
        report.notes.append(f"{n_shared} image(s) are the same as another patient's")


def _patients(report: Report) -> Iterator[tuple[Path, str]]:
    for image in report.images:
        yield image.path, image.patient
    for annotated in report.annotated:
        yield annotated.path, annotated.patient


def _files(report: Report) -> list[Path]:
    """Every image file, with or without a row."""
    files = {image.path for image in report.images}
    if report.sets.nih:
        files |= set(nih.image_files(report.sets.nih).values())
    if report.sets.chestxdet:
        for part in chestxdet.PARTS:
            files |= set(chestxdet.image_files(report.sets.chestxdet, part).values())
    return sorted(files)


def _note(report: Report, root: Path, count: int, what: str) -> None:
    if count:
        report.notes.append(f"{root}: {count} {what}")


def locate(paths: Iterable[Path]) -> Sets:
    """The sets under `paths`: each an NIH folder, a ChestX-Det folder, both, or a CSV manifest.

    Raises:
        DataError: a path that does not exist or is none of these; two folders of one kind.
    """
    sets = Sets()
    for path in paths:
        found = _located(path)
        if (found.nih and sets.nih) or (found.chestxdet and sets.chestxdet):
            raise DataError(path, "is the second folder of its kind: check one at a time")
        sets.nih = sets.nih or found.nih
        sets.chestxdet = sets.chestxdet or found.chestxdet
        sets.manifests += found.manifests
    return sets


def _located(path: Path) -> Sets:
    if path.is_file() and path.suffix.lower() == MANIFEST_SUFFIX:
        return Sets(manifests=[path])
    if not path.exists():
        raise DataError(path, "no such file or folder")
    inner = Sets(
        nih=path / NIH_FOLDER if (path / NIH_FOLDER).is_dir() else None,
        chestxdet=path / CHESTXDET_FOLDER if (path / CHESTXDET_FOLDER).is_dir() else None,
    )
    if inner.nih or inner.chestxdet:
        return inner
    if any(path.glob(nih.ENTRY_FILES)) or any(path.glob("images*/")):
        return Sets(nih=path)
    if (path / chestxdet.NAME_MAP).exists() or any(
        chestxdet.annotation_file(path, part).exists() for part in chestxdet.PARTS
    ):
        return Sets(chestxdet=path)
    raise DataError(
        path,
        f"is no NIH folder ({nih.ENTRY_FILES}, images*/), no ChestX-Det folder "
        f"({chestxdet.annotation_file(path, 'train').name}), holds no {NIH_FOLDER}/ or "
        f"{CHESTXDET_FOLDER}/, and is no CSV manifest",
    )


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
            facts.update(examined.facts)
            broken += [DataError(path, detail) for path, detail in examined.broken]
            bar.update(len(examined.facts) + len(examined.broken))
    return facts, sorted(broken, key=lambda error: error.path)


def _examine(paths: tuple[Path, ...]) -> _Examined:
    examined = _Examined([], [])
    for path in paths:
        try:
            grey = decode_grey(path)
        except DataError as error:
            examined.broken.append((path, error.detail))
            continue
        height, width = grey.shape
        digest = hashlib.blake2b(f"{width}x{height}:".encode(), digest_size=16)
        digest.update(grey.tobytes())
        examined.facts.append((path, FileFacts(width, height, digest.digest())))
    return examined
