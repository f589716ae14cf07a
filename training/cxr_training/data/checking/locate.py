"""Which data sets a user means by a folder or a file."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cxr_training.data import chestxdet, nih
from cxr_training.data.errors import DataError
from cxr_training.data.layout import CHESTXDET_FOLDER, NIH_FOLDER

MANIFEST_SUFFIX = ".csv"


@dataclass(slots=True)
class Sets:
    """The data sets to check together."""

    nih: Path | None = None
    chestxdet: Path | None = None
    manifests: list[Path] = field(default_factory=list)


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
