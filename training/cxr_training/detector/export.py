"""The trained network as ONNX, checked against PyTorch."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cxr_contracts import InputSpec
from cxr_training.publishing import check_same_answers

# Every operator of this network exists in it, and ONNX Runtime 1.32 runs it without conversion.
OPSET = 20


def export_onnx(network: nn.Module, spec: InputSpec, path: Path) -> None:
    """Write `network` (fused, decoding) as ONNX: `image` [N, 3, H, W] -> `predictions` [N, 4+c, A].

    N is free, H and W are those of `spec`.

    Raises:
        PublishError: ONNX Runtime answers otherwise than PyTorch.
    """
    example = torch.rand(2, spec.channels, spec.height_px, spec.width_px)
    # Ultralytics' head keeps the shape of its last input and compares; with a shape there, the
    # comparison would tie the export to one batch size.
    inner: Any = network
    inner.model[-1].shape = None
    batch = torch.export.Dim("batch", min=1, max=1024)
    exporter_log = logging.getLogger("torch.onnx")
    before = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The head keeps its anchors while it is traced; they are constants here.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                path,
                input_names=["image"],
                output_names=["predictions"],
                dynamic_shapes=({0: batch},),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        exporter_log.setLevel(before)
    _strip_machine_paths(path)
    check_onnx(network, spec, path)


def check_onnx(network: nn.Module, spec: InputSpec, path: Path) -> None:
    """Raise PublishError unless ONNX Runtime answers as `network` does, for one image and three."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    for batch in (1, 3):
        image = generator.random(
            (batch, spec.channels, spec.height_px, spec.width_px), dtype=np.float32
        )
        with torch.no_grad():
            expected = network(torch.from_numpy(image)).numpy()
        check_same_answers(path.name, expected, session.run(["predictions"], {"image": image})[0])


def _strip_machine_paths(path: Path) -> None:
    # The exporter notes for each node the Python stack that made it, paths included.
    import onnx

    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    onnx.save(model, path)
