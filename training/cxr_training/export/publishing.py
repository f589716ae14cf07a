"""Writing a model folder: the parts that every role shares."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from cxr_contracts import MANIFEST_NAME, ModelFile, ModelManifest, TriageManifest
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import sha256_of

WEIGHTS_NAME = "weights.safetensors"
ONNX_NAME = "model.onnx"
CARD_NAME = "MODEL_CARD.md"
LICENCE = "AGPL-3.0-or-later"
# Two runtimes of one model may differ by this much and no more.
RUNTIME_TOLERANCE = 1e-3


def refuse_taken(target: Path, *, replace: bool) -> None:
    """Raise PublishError where a model is at `target` that may not be replaced."""
    if target.exists() and not replace:
        raise PublishError(f"{target} is there already: give another name, or --replace")


@contextmanager
def staged(target: Path, *, replace: bool) -> Iterator[Path]:
    """An empty folder beside `target` that takes its place when the block ends well.

    Where the block fails, nothing is left of it, and `target` stays as it was.

    Raises:
        PublishError: something is at `target`, and `replace` is false.
    """
    refuse_taken(target, replace=replace)
    made = [parent for parent in target.parents if not parent.exists()]
    folder = target.with_name(f".{target.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # it holds the model
                parent.rmdir()


def model_file(path: Path) -> ModelFile:
    """A file of a model folder as the manifest names it."""
    return ModelFile(path=path.name, sha256=sha256_of(path), bytes=path.stat().st_size)


def check_same_answers(
    name: str, torch_output: np.ndarray, onnx_output: np.ndarray, *, relative: bool = False
) -> None:
    """Raise PublishError where the ONNX file answers otherwise than the weights it came from.

    `relative`: to the largest figure of `torch_output`, where that is above 1. An activation map
    may reach hundreds of logits whose mean is small, and float32 rounds in proportion.
    """
    largest = float(np.abs(torch_output).max(initial=1.0)) if relative else 1.0
    same_shape = torch_output.shape == onnx_output.shape
    gap = float(np.abs(torch_output - onnx_output).max(initial=0.0)) if same_shape else np.inf
    if not (np.isfinite(gap) and gap <= RUNTIME_TOLERANCE * largest):
        raise PublishError(
            f"{name}: ONNX {onnx_output.shape} differs from PyTorch {torch_output.shape} by {gap}"
        )


def write_manifest(
    manifest: ModelManifest | TriageManifest, folder: Path, card: str | None = None
) -> None:
    """Write `manifest.json`, and `card` as `MODEL_CARD.md`; `folder` is made where it is missing.

    A service that reads meanwhile never meets half a manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST_NAME
    partial = path.with_suffix(".partial")
    partial.write_text(manifest.model_dump_json(indent=2) + "\n")
    partial.rename(path)
    if card is not None:
        (folder / CARD_NAME).write_text(card)


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of a model folder."""
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())
