"""Every file, row, box and name of some data sets, and the one split over all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cxr_training.data import chestxdet, nih
from cxr_training.data.boxed import published_splits
from cxr_training.data.checking.files import FileFacts, examine
from cxr_training.data.checking.locate import Sets, locate
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.collection import read_collection
from cxr_training.data.errors import DataError
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split, split_sha256


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
    _check_same_pictures(report)
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


def _check_same_pictures(report: Report) -> None:
    """One picture under two patients of two splits is a patient who crosses, whatever the names."""
    first: dict[bytes, tuple[Path, str]] = {}
    n_shared = 0
    for path, patient in _patients(report):
        if path not in report.files:
            continue
        other, owner = first.setdefault(report.files[path].digest, (path, patient))
        if report.splits[owner] is not report.splits[patient]:
            said = (
                f"is the same picture as {other}, but patient {patient} is in "
                f"{report.splits[patient]} and patient {owner} in {report.splits[owner]}"
            )
            report.refuse(DataError(path, said))
        else:
            n_shared += owner != patient
    if n_shared:
        report.notes.append(f"{n_shared} image(s) are the same picture as another patient's")


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
