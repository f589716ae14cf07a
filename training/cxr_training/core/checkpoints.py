"""What is kept of a training: averaged weights, and checkpoints with the random numbers.

A checkpoint is written whole or not at all, and read without unpickling.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cxr_training.core.errors import RunError

RandomState = dict[str, Tensor]


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`; at first in large steps, as it begins at random weights."""
    theirs, mine = network.state_dict(), average.state_dict()
    moving = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    # All tensors in a few kernels: one for each would keep a GPU waiting.
    move = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    move([mine[name] for name in moving], [theirs[name] for name in moving], 0)
    for name in mine.keys() - set(moving):
        mine[name].copy_(theirs[name])


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
