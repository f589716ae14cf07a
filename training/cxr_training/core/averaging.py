"""Averaged weights: an exponential moving average over the steps of a training."""

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `network`; at first in large steps, as it begins at random weights."""
    theirs, mine = network.state_dict(), average.state_dict()
    moving = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    # All tensors in a few kernels: one for each would keep a GPU waiting.
    move = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    move([mine[name] for name in moving], [theirs[name] for name in moving], 0)
    for name in mine.keys() - set(moving):
        mine[name].copy_(theirs[name])
