"""From a PyTorch network to one ONNX file with a free batch size and no trace of the machine.

Weights are stored in half precision: half the megabytes, and figures of what is stored. A run
rounds its weights once, before anything is measured; from then on nothing rounds again. The
networks compute in float32.
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import nn


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


# Every operator of the published networks exists in it, and ONNX Runtime runs it as it is.
OPSET = 20


def export_onnx(
    network: nn.Module, example: torch.Tensor, path: Path, *, output_names: list[str]
) -> None:
    """Write `network` as ONNX: `image`, shaped as `example` but for the batch, to `output_names`.

    Its weights stand there as they are, so those that are halves are stored as such.

    Args:
        network: on the CPU, set to evaluation.
        example: float32 [N, C, H, W], N at least 2 so that the batch is not taken for a constant.
        path: the file to write, weights included.
        output_names: of the network's outputs, in order.
    """
    exporter_log = logging.getLogger("torch.onnx")
    before = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The exporter warns of its own dependencies; none of it concerns the model.
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                (example,),
                input_names=["image"],
                output_names=output_names,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
                # It would fold batch normalisation into the weights. ONNX Runtime does so anyway.
                optimize=False,
            )
    finally:
        exporter_log.setLevel(before)
    model = program.model_proto
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)
    _strip_machine_paths(model)
    store_in_half(model)
    onnx.save(model, path)


def _strip_machine_paths(model: onnx.ModelProto) -> None:
    # The exporter notes for each node the Python stack that made it, paths included.
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
