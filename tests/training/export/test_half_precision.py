"""Weights in half precision: half the bytes, and not one answer changed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from cxr_training.export.onnx import exactly_halved, export_onnx, rounded


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = nn.Sequential(nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 64, 3))
    layers.get_buffer("1.running_var").uniform_(0.5, 2.0)
    return layers.eval().requires_grad_(False)


def exported(layers: nn.Module, path: Path) -> onnx.ModelProto:
    export_onnx(layers, torch.rand(2, 1, 8, 8), path, output_names=["maps"])
    return onnx.load(path)


def weight_types(model: onnx.ModelProto) -> set[int]:
    return {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}


def test_only_what_loses_nothing_is_stored_as_halves() -> None:
    layers = network()
    assert all(
        t.dtype == torch.float32 for t in exactly_halved(dict(layers.named_parameters())).values()
    )
    layers.load_state_dict(rounded(layers.state_dict()))
    state = exactly_halved(layers.state_dict())
    assert state["0.weight"].dtype == torch.float16
    for name, tensor in layers.state_dict().items():
        assert torch.equal(state[name].to(tensor.dtype), tensor)


def test_weights_become_halves_and_vectors_stay() -> None:
    state = rounded(network().state_dict())
    assert {name for name, tensor in state.items() if tensor.dtype == torch.float16} == {
        "0.weight",
        "3.weight",
    }
    assert state["1.running_var"].dtype == torch.float32
    assert state["1.num_batches_tracked"].dtype == torch.int64


def test_a_rounded_network_is_stored_in_half_and_answers_as_pytorch_does(tmp_path: Path) -> None:
    layers = network()
    whole = exported(layers, tmp_path / "whole.onnx")
    layers.load_state_dict(rounded(layers.state_dict()))
    half = exported(layers, tmp_path / "half.onnx")
    assert weight_types(whole) == {onnx.TensorProto.FLOAT}
    assert weight_types(half) == {onnx.TensorProto.FLOAT16}
    bytes_of = [(tmp_path / name).stat().st_size for name in ("half.onnx", "whole.onnx")]
    assert bytes_of[0] < 0.6 * bytes_of[1]
    session = onnxruntime.InferenceSession(tmp_path / "half.onnx")
    image = torch.rand(3, 1, 8, 8)
    [answered] = session.run(["maps"], {"image": image.numpy()})
    np.testing.assert_allclose(answered, layers(image).numpy(), atol=1e-5)


def test_a_weight_that_half_precision_cannot_hold_stays_whole(tmp_path: Path) -> None:
    layers = network()
    layers.load_state_dict(rounded(layers.state_dict()))
    last = layers.get_parameter("3.weight")
    last[0, 0, 0, 0] = 1e6
    model = exported(layers, tmp_path / "model.onnx")
    assert weight_types(model) == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
