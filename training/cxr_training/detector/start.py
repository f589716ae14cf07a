"""What a network starts from: the tensors of a state dict that fit, or nothing."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file

from cxr_serving.model_folder import open_model_folder
from cxr_training.core.runs import sha256_of
from cxr_training.data.errors import DataError

COCO_SOURCE = "YOLOv5n v6 on COCO by Ultralytics (AGPL-3.0)"
# COCO's YOLOv5n fills four fifths of ours: all but the head. Below a half it is another network.
_LEAST_SHARE = 0.5
# A timm backbone is layer 0 of the detector.
BACKBONE_PREFIX = "model.0.network."


@dataclass(frozen=True, slots=True)
class Start:
    """A state dict on disk, and what the model's card says of it."""

    path: Path
    source: str
    backbone: Path | None = None
    """The folder of a published classifier whose first network fills the recipe's backbone."""


@dataclass(frozen=True, slots=True)
class StartWeights:
    """Tensors that a network starts with, by their names in it, and where they come from."""

    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]
    """For `run.json`."""


def published_start(folder: Path, backbone: Path | None = None) -> Start:
    """The weights of a published detector; ModelFolderError."""
    published = open_model_folder(folder, "detector")
    published.weights()
    identity = published.identity
    source = f"the published detector {identity.name} {identity.version}"
    return Start(folder / published.manifest.weights.path, source, backbone)


def read_start(start: Start, own: dict[str, torch.Tensor], architecture: str) -> StartWeights:
    """The tensors of `start` that have the name and the shape of one of `own`.

    Raises:
        DataError: no such file, no safetensors, or fewer than half of the network's tensors fit.
        ModelFolderError: the backbone's folder holds no published classifier as its manifest says.
    """
    if not start.path.exists():
        raise DataError(start.path, "is missing (the network's start, a safetensors state dict)")
    try:
        given = load_file(start.path)
    except SafetensorError as error:
        raise DataError(start.path, f"is no safetensors file: {error}") from error
    facts: dict[str, Any] = {"source": start.source, "sha256": sha256_of(start.path)}
    if start.backbone is not None:
        backbone, facts["backbone"] = _read_backbone(start.backbone)
        given = {**given, **backbone}
    fitting = {
        name: tensor.to(own[name].dtype)
        for name, tensor in given.items()
        if name in own and own[name].shape == tensor.shape
    }
    # A counter of batches has no shape and fits everything.
    fits, of = (sum(tensor.ndim > 0 for tensor in state.values()) for state in (fitting, own))
    if fits < _LEAST_SHARE * of:
        raise DataError(
            start.path,
            f"does not fit {architecture}: {fits} of its {of} tensors have the name and the shape "
            "of one in the file; give a start of this architecture, or none",
        )
    return StartWeights(fitting, {**facts, "fits": fits, "of": of})


def _read_backbone(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The backbone of a classifier's first network by its names in a detector, and whose it is.

    Raises:
        ModelFolderError: no published classifier, or its weights are not its manifest's.
    """
    published = open_model_folder(folder, "classifier")
    first = re.compile(r"(?:members\.0\.)?backbone\.(.+)")
    tensors = {
        f"{BACKBONE_PREFIX}{found[1]}": tensor
        for name, tensor in load(published.weights()).items()
        if (found := first.fullmatch(name))
    }
    identity = published.identity
    return tensors, {"source": f"{identity.name} {identity.version}", "sha256": identity.sha256}
