"""A checkpoint is read for its tensors; nothing in it is run."""

import argparse
import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cxr_training.importing import ModelImportError
from cxr_training.importing.checkpoints import SavedObject, read_checkpoint, state_of

FORMATS = pytest.mark.parametrize("before_1_6", [False, True], ids=["zip", "before 1.6"])


class Calls:
    """Unpickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def small() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(1, 2, 3), norm=nn.BatchNorm2d(2), act=nn.ReLU())
    )


def save(value: object, path: Path, *, before_1_6: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not before_1_6)
    return path


@FORMATS
def test_a_whole_module_gives_what_its_state_dict_gives(tmp_path: Path, before_1_6: bool) -> None:
    network = small()
    path = save(network, tmp_path / "whole.pt", before_1_6=before_1_6)
    saved = read_checkpoint(path)
    assert type(saved) is SavedObject
    state, expected = state_of(saved, path), network.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@FORMATS
@pytest.mark.parametrize(
    "call",
    [
        lambda mark: Calls(os.system, f"touch {mark}"),
        lambda mark: Calls(subprocess.check_call, ["touch", str(mark)]),
        lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: Calls(getattr, str(mark), "upper"),
        lambda mark: Calls(torch.load, str(mark)),
    ],
    ids=["os.system", "subprocess", "eval", "getattr", "torch.load"],
)
def test_a_checkpoint_that_calls_something_is_refused_and_not_run(
    tmp_path: Path, before_1_6: bool, call: Any
) -> None:
    mark = tmp_path / "was-run"
    network = small()
    network.payload = call(mark)
    path = save(network, tmp_path / "bad.pt", before_1_6=before_1_6)
    with pytest.raises(ModelImportError, match="is refused and nothing of it was run: it names"):
        read_checkpoint(path)
    assert not mark.exists()


def test_a_checkpoint_cannot_change_what_stands_in_for_modules(tmp_path: Path) -> None:
    # By hand: the class itself, then state for it in the form that sets attributes.
    program = b"\x80\x02ctorch.nn.modules.conv\nConv2d\nN}X\x0c\x00\x00\x00dump_patches\x88s\x86b."
    path = tmp_path / "tampering.pt"
    parts: list[object] = [0x1950A86A20F9469CFC6C, 1001, {}]
    head = [pickle.dumps(part, 2) for part in parts]
    path.write_bytes(b"".join(head) + program + pickle.dumps([], 2))
    with pytest.raises(ModelImportError, match=r"changes SavedObject\.dump_patches"):
        read_checkpoint(path)
    assert SavedObject.dump_patches is False


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    program = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(program, path)
    with pytest.raises(ModelImportError, match="TorchScript"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.pt", b"not weights at all, only text", "not a PyTorch checkpoint"),
        ("empty.pt", b"", "not a PyTorch checkpoint"),
        ("cut.pt", b"PK\x03\x04 and then nothing", "not a PyTorch checkpoint"),
        ("old.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "not a PyTorch checkpoint"),
        ("text.safetensors", b"not weights at all, only text", "not a safetensors file"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelImportError, match=reason):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelImportError, match=r"absent\.pt cannot be read: No such file"):
        read_checkpoint(tmp_path / "absent.pt")


def test_a_checkpoint_without_weights_is_refused(tmp_path: Path) -> None:
    path = save({"epoch": 3}, tmp_path / "empty.pt", before_1_6=False)
    with pytest.raises(ModelImportError, match="holds no weights"):
        state_of(read_checkpoint(path), path)


def test_a_training_checkpoint_gives_its_averaged_weights(tmp_path: Path) -> None:
    plain, averaged = nn.Linear(2, 1), nn.Linear(2, 1)
    content = {
        "arch": "x",
        "args": argparse.Namespace(lr=0.1),
        "state_dict": plain.state_dict(),
        "state_dict_ema": {
            f"module.{name}": value.half() for name, value in averaged.state_dict().items()
        },
    }
    path = save(content, tmp_path / "checkpoint.pth.tar", before_1_6=False)
    state = state_of(read_checkpoint(path), path)
    assert set(state) == {"weight", "bias"}
    assert state["weight"].dtype == torch.float32
    assert torch.allclose(state["weight"], averaged.weight, atol=1e-3)


def test_safetensors_are_read_as_they_are(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2), "b": torch.zeros(1)}
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    state = state_of(read_checkpoint(path), path)
    assert all(torch.equal(state[name], tensors[name]) for name in tensors)
