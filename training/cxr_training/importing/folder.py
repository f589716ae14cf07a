"""Where an imported model goes: complete and tried, or not at all."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cxr_contracts import MANIFEST_NAME, ModelManifest, Role
from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import ModelFolder, ModelFolderError, open_model_folder
from cxr_training.export.publishing import CARD_NAME, read_manifest
from cxr_training.importing.errors import ModelImportError
from cxr_training.importing.trial import try_out


def target_of(models: Path, role: Role, name: str, *, force: bool) -> Path:
    """Where the model goes.

    Raises:
        ModelImportError: one of that name is there, and may not be replaced.
    """
    target = models / role / name
    if target.exists() and not force:
        raise ModelImportError(f"{target} is there already: give another --name, or --force")
    return target


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends well, and is gone if it does not.

    A folder that is there already is replaced in the last moment.
    """
    made = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".importing-") as staging:
            folder = Path(staging) / target.name
            folder.mkdir()
            yield folder
            if target.exists():
                target.rename(Path(staging) / ".replaced")
            folder.rename(target)
    finally:
        for parent in made:
            with suppress(OSError):  # it holds the model
                parent.rmdir()


def import_folder(source: Path, models: Path, *, force: bool) -> Path:
    """Take over a model folder of ours, of any role; the new folder.

    What is copied is what was checked: schema, size and sha256 of each file, labels, an inference
    on drawn pictures, and for a classifier that both runtimes answer alike. A detector that was
    fused from others brings those that are not there yet.

    Raises:
        ModelImportError: the folder is not what its manifest says, or is there already, or another
            detector has the name of one that it was fused from.
        PublishError: ONNX Runtime and PyTorch differ.
    """
    try:
        opened = _open(source)
        manifest = opened.manifest
        target = target_of(models, manifest.role, manifest.name, force=force)
        members = _import_members(opened, models)
        with staged(target) as folder:
            for member in members:  # beside it while it is tried, as they will be
                (folder.parent / member.name).symlink_to(member.resolve())
            (folder / manifest.weights.path).write_bytes(opened.weights())
            (folder / manifest.onnx.path).write_bytes(opened.onnx())
            for name in (MANIFEST_NAME, CARD_NAME):
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
            try_out(folder)
    except ModelFolderError as error:
        raise ModelImportError(str(error).removesuffix(".")) from error
    return target


def _import_members(fused: ModelFolder, models: Path) -> list[Path]:
    """The folders in `models` of the detectors that a model was fused from; none of another's."""
    if not is_fused(fused.manifest.architecture):
        return []
    folders = []
    for member in member_folders(fused):
        here = models / member.manifest.role / member.path.name
        if not here.exists():
            import_folder(member.path, models, force=False)
        elif _files(read_manifest(here)) != _files(member.manifest):
            raise ModelImportError(
                f"{fused.manifest.name} was fused from another {member.path.name} than the one in "
                f"{here}: rename that, or import into another --models"
            )
        folders.append(here)
    return folders


def _files(manifest: ModelManifest) -> tuple[str, str]:
    return manifest.weights.sha256, manifest.onnx.sha256


def _open(source: Path) -> ModelFolder:
    try:
        role = read_manifest(source).role
    except (OSError, ValueError):
        role = "classifier"  # whatever it is: opening it says in a sentence what is wrong
    return open_model_folder(source, role)
