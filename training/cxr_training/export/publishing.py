"""Writing a model folder: the parts that every role shares."""

from pathlib import Path

import numpy as np

from cxr_contracts import MANIFEST_NAME, ModelFile, ModelManifest
from cxr_training.core.errors import PublishError
from cxr_training.core.files import sha256_of

WEIGHTS_NAME = "weights.safetensors"
ONNX_NAME = "model.onnx"
CARD_NAME = "MODEL_CARD.md"
LICENCE = "AGPL-3.0-or-later"
# Two runtimes of one model may differ by this much and no more.
RUNTIME_TOLERANCE = 1e-3


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


def write_manifest(manifest: ModelManifest, folder: Path) -> Path:
    """Write `manifest.json` into a model folder."""
    path = folder / MANIFEST_NAME
    path.write_text(manifest.model_dump_json(indent=2) + "\n")
    return path


def read_manifest(folder: Path) -> ModelManifest:
    """The manifest of a model folder."""
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_text())
