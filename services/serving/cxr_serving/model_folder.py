"""Opening a published model's folder, and refusing one that is not what its manifest says."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cxr_contracts import MANIFEST_NAME, ModelFile, ModelIdentity, ModelManifest, Role

# In a folder of several models: the name of the one that is served unless another is asked for.
# No model can be called so.
DEFAULT_FILE = "DEFAULT"
MODEL_NAME = r"^[a-z0-9][a-z0-9._-]*$"
Manifest = TypeVar("Manifest", bound=BaseModel)


class ModelFolderError(Exception):
    """The folder cannot be served; the message is a sentence that says what to do about it."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a valid manifest; its files are checked as they are read."""

    path: Path
    manifest: ModelManifest

    @property
    def identity(self) -> ModelIdentity:
        """How the model is named in responses."""
        return identity_of(self.manifest)

    def weights(self) -> bytes:
        """`weights.safetensors`, checked against the manifest. Raises ModelFolderError."""
        return checked_bytes(self.path, self.manifest.weights)

    def onnx(self) -> bytes:
        """`model.onnx`, checked against the manifest. Raises ModelFolderError."""
        return checked_bytes(self.path, self.manifest.onnx)


def checked_bytes(folder: Path, file: ModelFile) -> bytes:
    """The content of a file of a model's folder, checked against what the manifest says of it.

    Raises:
        ModelFolderError: The file cannot be read, or is another one.
    """
    # The bytes that were checked are the bytes that get loaded: a file that is replaced
    # between a check and a second read would slip through.
    path = folder / file.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFolderError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) != file.bytes:
        raise ModelFolderError(
            f"{path} has {len(data):,} bytes and its manifest says {file.bytes:,}: "
            "it is cut short or from another version; publish the model again."
        )
    found = hashlib.sha256(data).hexdigest()
    if not hmac.compare_digest(found, file.sha256):
        raise ModelFolderError(
            f"{path} has the sha256 {found} and its manifest says {file.sha256}: "
            "it was changed after it was published and will not be served."
        )
    return data


def identity_of(manifest: ModelManifest) -> ModelIdentity:
    """How the model of `manifest` is named in responses."""
    return ModelIdentity(
        name=manifest.name, version=manifest.version, sha256=manifest.weights.sha256
    )


def choose_model(path: Path, name: str | None = None) -> Path:
    """The model's folder that `path` means: itself, or one of those in it.

    Args:
        path: a published model's folder, or the folder of several.
        name: of one in `path`; None: the one that the file `DEFAULT` in it names.

    Raises:
        ModelFolderError: `DEFAULT` names no folder beside it.
    """
    if name is not None:
        return path / name
    listed = path / DEFAULT_FILE
    if not listed.is_file():
        return path
    text = listed.read_text(errors="replace").strip()
    if not re.fullmatch(MODEL_NAME, text) or not (path / text).is_dir():
        raise ModelFolderError(
            f"{listed} names {text[:80]!r}, and there is no such model folder beside it."
        )
    return path / text


def manifest_in(path: Path, kind: type[Manifest]) -> Manifest:
    """The manifest in the folder `path`, of any kind of model.

    Raises:
        ModelFolderError: No such folder, no manifest, or an invalid one.
    """
    if not path.is_dir():
        raise ModelFolderError(f"There is no model folder at {path.resolve()}.")
    manifest_path = path / MANIFEST_NAME
    try:
        return kind.model_validate_json(manifest_path.read_bytes())
    except OSError as error:
        raise ModelFolderError(f"{manifest_path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        reasons = "; ".join(
            f"{'.'.join(str(step) for step in item['loc']) or 'the file'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise ModelFolderError(f"{manifest_path} is not a valid manifest: {reasons}.") from error


def open_model_folder(path: Path, role: Role) -> ModelFolder:
    """The model in `path`, which must be of `role`.

    Raises:
        ModelFolderError: No such folder, no manifest, an invalid one, or one of another role.
    """
    manifest = manifest_in(path, ModelManifest)
    if manifest.role != role:
        raise ModelFolderError(f"{path} holds a {manifest.role}, and a {role} is needed.")
    return ModelFolder(path=path, manifest=manifest)
