"""Where a run stands after each epoch, so that a killed run can go on: safetensors, no pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cxr_training.data.errors import DataError

STATE_NAME = "state.safetensors"
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class RunState:
    """A run after an epoch."""

    epochs: int
    """Finished."""
    steps: int
    elapsed_s: float
    model: Tensors
    average: Tensors
    optimizer: dict[int, dict[str, Any]]
    """Of each parameter by its number: the optimiser's own tensors."""


def save_state(state: RunState, path: Path) -> None:
    """Write `state`; whoever reads meanwhile sees the old file or the new, never half."""
    tensors = {
        **{f"model/{name}": tensor for name, tensor in state.model.items()},
        **{f"average/{name}": tensor for name, tensor in state.average.items()},
        **{
            f"optimizer/{number}/{key}": value
            for number, values in state.optimizer.items()
            for key, value in values.items()
            if isinstance(value, torch.Tensor)
        },
    }
    progress = {"epochs": state.epochs, "steps": state.steps, "elapsed_s": state.elapsed_s}
    replace_file(tensors, path, {"progress": json.dumps(progress)})


def load_state(path: Path) -> RunState:
    """What `save_state` wrote.

    Raises:
        DataError: no such file, or another.
    """
    if not path.exists():
        raise DataError(path, "is missing: the run was not begun, or ended within its first epoch")
    parts: dict[str, Any] = {"model": {}, "average": {}}
    optimizer: dict[int, dict[str, Any]] = {}
    try:
        with safe_open(path, framework="pt") as file:
            progress = json.loads(file.metadata()["progress"])
            for name in file.keys():  # noqa: SIM118 - no mapping
                part, _, key = name.partition("/")
                if part == "optimizer":
                    number, _, key = key.partition("/")
                    optimizer.setdefault(int(number), {})[key] = file.get_tensor(name)
                else:
                    parts[part][key] = file.get_tensor(name)
        return RunState(**progress, **parts, optimizer=optimizer)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"is no state of a run: {error}") from error


def replace_file(tensors: Tensors, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write `tensors` to `path` in one step."""
    partial = path.with_suffix(".partial")
    whole = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, partial, metadata)
    partial.replace(path)
