"""What of a state dict a network takes, and what it refuses."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cxr_contracts import Architecture
from cxr_detector.network import build_network
from cxr_training.core.runs import sha256_of
from cxr_training.data.errors import DataError
from cxr_training.detector.start import Start, read_start


def state_of(name: str) -> dict[str, torch.Tensor]:
    return build_network(
        Architecture(library="ultralytics", name=name, arguments={}), 15
    ).state_dict()


@pytest.fixture(scope="module")
def own() -> dict[str, torch.Tensor]:
    return state_of("yolov5n")


def write(path: Path, state: dict[str, torch.Tensor]) -> Start:
    save_file({name: tensor.half() for name, tensor in state.items()}, path)
    return Start(path, "a test")


def test_a_start_without_the_head_fills_the_rest(
    own: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    given = {name: tensor for name, tensor in own.items() if "model.24." not in name}
    start = write(tmp_path / "start.safetensors", {**given, "model.24.anchors": torch.ones(3, 2)})
    found = read_start(start, own, "yolov5n")
    assert found.tensors.keys() == given.keys()
    assert found.tensors["model.0.conv.weight"].dtype == torch.float32
    assert found.facts["sha256"] == sha256_of(start.path)
    assert 0.5 < found.facts["fits"] / found.facts["of"] < 1


def test_a_start_of_another_architecture_is_refused_with_the_count(
    own: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    start = write(tmp_path / "start.safetensors", own)
    larger = state_of("yolov5s")
    same = [name for name in own if own[name].ndim and own[name].shape == larger[name].shape]
    total = sum(tensor.ndim > 0 for tensor in larger.values())
    with pytest.raises(DataError, match=f"yolov5s: {len(same)} of its {total} tensors"):
        read_start(start, larger, "yolov5s")


def test_a_file_that_is_no_safetensors_is_refused(
    own: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "start.safetensors"
    path.write_bytes(b"PK\x03\x04 a pickle in a zip")
    with pytest.raises(DataError, match="is no safetensors file"):
        read_start(Start(path, "a test"), own, "yolov5n")
