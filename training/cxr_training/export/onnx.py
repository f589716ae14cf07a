"""From a PyTorch network to one ONNX file with a free batch size and no trace of the machine."""

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxscript import optimizer
from torch import nn

from cxr_training.export.half_precision import store_in_half

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
