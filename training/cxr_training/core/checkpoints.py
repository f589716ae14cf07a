"""Checkpoints: written whole or not at all, read without unpickling, with random numbers."""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cxr_training.core.errors import RunError

RandomState = dict[str, Tensor]


def random_state() -> RandomState:
    """Of the numbers by which this process drops out; images have their own, by row and epoch."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: RandomState) -> None:
    """Go on with them."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write it whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The checkpoint, its tensors on the CPU.

    Raises:
        RunError: the file is none.
    """
    try:
        # weights_only: tensors and plain values, nothing that unpickling could run.
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} is no checkpoint that can be read: {error}") from error
    missing = {"network", "average", "optimiser", "progress"} - set(state)
    if missing:
        raise RunError(f"{path} is no checkpoint of a run: {', '.join(sorted(missing))} missing")
    return state
