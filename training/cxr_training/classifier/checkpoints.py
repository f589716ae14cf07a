"""Where a classifier's run stands, and a start from another run's weights."""

import math
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.errors import RunError


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
