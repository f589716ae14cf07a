"""The trained network as ONNX, checked against PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cxr_contracts import InputSpec
from cxr_training.export.onnx import export_onnx
from cxr_training.export.publishing import check_same_answers

_N_GEOMETRY = 4


def export_detector(network: nn.Module, spec: InputSpec, path: Path) -> None:
    """Write `network` (decoding) as ONNX: `image` [N, 3, H, W] -> `predictions` [N, 4+c, A].

    N is free, H and W are those of `spec`.

    Raises:
        PublishError: ONNX Runtime answers otherwise than PyTorch.
    """
    example = torch.rand(2, spec.channels, spec.height_px, spec.width_px)
    # Ultralytics' head keeps the shape of its last input and compares; with a shape there, the
    # comparison would tie the export to one batch size.
    inner: Any = network
    inner.model[-1].shape = None
    export_onnx(network, example, path, output_names=["predictions"])
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
        answered = session.run(["predictions"], {"image": image})[0]
        boxes, scores = slice(None, _N_GEOMETRY), slice(_N_GEOMETRY, None)
        check_same_answers(path.name, expected[:, scores], answered[:, scores])
        # A coordinate is some hundreds of pixels: a thousandth of that is below half a pixel.
        check_same_answers(path.name, expected[:, boxes], answered[:, boxes], relative=True)
