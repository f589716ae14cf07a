"""What a network starts from: the tensors of a state dict that fit, or nothing."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_serving.model_folder import open_model_folder
from cxr_training.core.files import sha256_of
from cxr_training.data.errors import DataError

if TYPE_CHECKING:
    import torch

COCO_SOURCE = "YOLOv5n v6 on COCO by Ultralytics (AGPL-3.0)"
# COCO's YOLOv5n fills four fifths of ours: all but the head. Below a half it is another network.
_LEAST_SHARE = 0.5
# `cxr_detector.backbone`: the trunk is layer 0.
TRUNK_PREFIX = "model.0.network."


@dataclass(frozen=True, slots=True)
class Start:
    """A state dict on disk, and what the model's card says of it."""

    path: Path
    source: str
    trunk: Path | None = None
    """The folder of a published classifier whose first network fills the recipe's trunk."""


@dataclass(frozen=True, slots=True)
class FittingStart:
    """The tensors of a start that have a place in the network."""

    tensors: "dict[str, torch.Tensor]"
    facts: dict[str, Any]
    """For `run.json`."""


def read_start(start: Start, own: "dict[str, torch.Tensor]", architecture: str) -> FittingStart:
    """The tensors of `start` that have the name and the shape of one of `own`.

    Raises:
        DataError: no such file, no safetensors, or fewer than half of the network's tensors fit.
        ModelFolderError: the trunk's folder holds no published classifier as its manifest says.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not start.path.exists():
        raise DataError(start.path, "is missing (the network's start, a safetensors state dict)")
    try:
        given = load_file(start.path)
    except SafetensorError as error:
        raise DataError(start.path, f"is no safetensors file: {error}") from error
    facts: dict[str, Any] = {"source": start.source, "sha256": sha256_of(start.path)}
    if start.trunk is not None:
        trunk, facts["trunk"] = _read_trunk(start.trunk)
        given = {**given, **trunk}
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
    return FittingStart(fitting, {**facts, "fits": fits, "of": of})


def _read_trunk(folder: Path) -> "tuple[dict[str, torch.Tensor], dict[str, str]]":
    """The backbone of a classifier's first network by its names in a detector, and whose it is.

    Raises:
        ModelFolderError: no published classifier, or its weights are not its manifest's.
    """
    from safetensors.torch import load

    published = open_model_folder(folder, "classifier")
    first = re.compile(r"(?:members\.0\.)?backbone\.(.+)")
    found = {
        f"{TRUNK_PREFIX}{match[1]}": tensor
        for name, tensor in load(published.weights()).items()
        if (match := first.fullmatch(name))
    }
    identity = published.identity
    return found, {"source": f"{identity.name} {identity.version}", "sha256": identity.sha256}
