"""What discriminator and generator lose: logits are high where a picture seems real."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cxr_gan.training.config import Loss

Judge = Callable[[Tensor], Tensor]
"""Pictures [n, 1, h, w] to logits [n]."""


def discriminator_loss(loss: Loss, real: Tensor, made: Tensor) -> Tensor:
    """Of the logits of real and of generated pictures, without a penalty."""
    if loss.adversarial == "wasserstein":
        lost = made.mean() - real.mean()
    else:
        lost = functional.softplus(-real).mean() + functional.softplus(made).mean()
    if loss.drift:
        lost = lost + loss.drift * real.square().mean()
    return lost


def generator_loss(loss: Loss, made: Tensor) -> Tensor:
    """Of the logits of generated pictures."""
    if loss.adversarial == "wasserstein":
        return -made.mean()
    return functional.softplus(-made).mean()


def gradient_penalty(loss: Loss, judge: Judge, real: Tensor, made: Tensor, mix: Tensor) -> Tensor:
    """A penalty on the gradient of the logits by the pictures, weighted for its interval.

    WGAN-GP (Gulrajani et al. 2017): its norm is to be 1 between real and generated. R1 (Mescheder
    et al. 2018): its square is to be small at the real ones.

    Args:
        loss: which of the two, and its weight.
        judge: the discriminator, in 32 bits.
        real: pictures.
        made: as many.
        mix: for each, where it stands between both, 0 to 1.
    """
    weight = loss.penalty_weight * loss.penalty_interval
    is_r1 = loss.gradient_penalty == "r1"
    at = real if is_r1 else real + mix.view(-1, 1, 1, 1) * (made - real)
    at = at.detach().requires_grad_(True)
    [slope] = torch.autograd.grad(judge(at).sum(), at, create_graph=True)
    square = slope.flatten(1).square().sum(1)
    if is_r1:
        return weight / 2 * square.mean()
    # The root of a zero has no slope.
    return weight * ((square + 1e-12).sqrt() - 1).square().mean()
