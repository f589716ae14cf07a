"""What a network starts from: the tensors of a state dict that fit, or nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_training.data.errors import DataError
from cxr_training.publishing import sha256_of

if TYPE_CHECKING:
    import torch

COCO_SOURCE = "YOLOv5n v6 on COCO by Ultralytics (AGPL-3.0)"
# COCO's YOLOv5n fills four fifths of ours: all but the head. Below a half it is another network.
_LEAST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Start:
    """A state dict on disk, and what the model's card says of it."""

    path: Path
    source: str


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
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not start.path.exists():
        raise DataError(start.path, "is missing (the network's start, a safetensors state dict)")
    try:
        given = load_file(start.path)
    except SafetensorError as error:
        raise DataError(start.path, f"is no safetensors file: {error}") from error
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
    facts = {"source": start.source, "sha256": sha256_of(start.path), "fits": fits, "of": of}
    return FittingStart(fitting, facts)
