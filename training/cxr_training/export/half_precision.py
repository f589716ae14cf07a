"""Weights stored in half precision: half the megabytes, and figures of what is stored.

A run rounds its weights once, before anything is measured; from then on nothing rounds again. The
networks compute in float32.
"""

from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import numpy_helper


def rounded(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict with every float tensor of two dimensions and more as float16.

    Vectors stay as they are: they are few, and the running variance of a quiet channel is below
    what half precision can tell from zero.
    """
    return {
        name: tensor.half() if tensor.is_floating_point() and tensor.ndim >= 2 else tensor
        for name, tensor in state.items()
    }


def exactly_halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict with those of `rounded`'s tensors as float16 that lose nothing by it."""
    return {
        name: half if torch.equal(half.to(tensor.dtype), tensor) else tensor
        for (name, tensor), half in zip(state.items(), rounded(state).values(), strict=True)
    }


def store_in_half(model: onnx.ModelProto) -> None:
    """Store as float16, cast at load, each float32 weight whose values are all halves exactly."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        values = numpy_helper.to_array(tensor)
        # A value out of range becomes infinite, and is then not equal.
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
