"""What a checkpoint holds beside the weights: where the run stands, and its random numbers."""

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxr_training.runs import RunError

RandomState = dict[str, Tensor]


@dataclass
class Progress:
    """Where a run stands; goes into the checkpoint."""

    epoch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    best_auroc: float = -math.inf
    # Of the epoch under way: batches done, and over their images the sum of the losses.
    batch: int = 0
    images: int = 0
    loss_sum: float = 0.0

    def begin_next_epoch(self) -> None:
        """An epoch is over."""
        self.epoch += 1
        self.batch, self.images, self.loss_sum = 0, 0, 0.0


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


def start_from(network: nn.Module, path: Path) -> None:
    """Fill `network` with the averaged weights of another run's checkpoint, its head included.

    Raises:
        RunError: the file is no checkpoint, or of another network.
    """
    state = read_checkpoint(path)
    try:
        network.load_state_dict(state["average"])
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(f"{path} is of another network than configured: {reason}") from error


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
