"""What discriminator and generator lose, and how the images they see are varied.

Logits are high where an image seems real.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cxr_gan.training.config import Augmentation, Loss

# Of each image: brightness, contrast, translation (2), the place of the cut (2).
DRAWS = 6


def discriminator_loss(loss: Loss, real: Tensor, made: Tensor) -> Tensor:
    """Of the logits of real and of generated images, without a penalty."""
    if loss.adversarial == "wasserstein":
        lost = made.mean() - real.mean()
    else:
        lost = functional.softplus(-real).mean() + functional.softplus(made).mean()
    if loss.drift:
        lost = lost + loss.drift * real.square().mean()
    return lost


def generator_loss(loss: Loss, made: Tensor) -> Tensor:
    """Of the logits of generated images."""
    return -made.mean() if loss.adversarial == "wasserstein" else functional.softplus(-made).mean()


def gradient_penalty(
    loss: Loss, discriminator: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, mix: Tensor
) -> Tensor:
    """A penalty on the gradient of the logits by the images, weighted for its interval.

    WGAN-GP (Gulrajani et al. 2017): its norm is to be 1 between real and generated, `mix` [n]
    (0 to 1) says where. R1 (Mescheder et al. 2018): its square is to be small at the real ones.
    """
    weight = loss.penalty_weight * loss.penalty_interval
    is_r1 = loss.gradient_penalty == "r1"
    at = real if is_r1 else real + mix.view(-1, 1, 1, 1) * (made - real)
    at = at.detach().requires_grad_(True)
    [slope] = torch.autograd.grad(discriminator(at).sum(), at, create_graph=True)
    square = slope.flatten(1).square().sum(1)
    if is_r1:
        return weight / 2 * square.mean()
    # The root of a zero has no slope.
    return weight * ((square + 1e-12).sqrt() - 1).square().mean()


def augmented(images: Tensor, draws: Tensor, rule: Augmentation) -> Tensor:
    """`images` [n, 1, s, s] varied by `draws` [n, DRAWS], uniform in -1..1, differentiably.

    Zhao et al., NeurIPS 2020. Real and generated images are varied alike, so that the
    discriminator cannot learn a small data set by heart, and the generator does not learn the
    variations.
    """
    column = draws.view(len(draws), DRAWS, 1, 1, 1)
    images = images + rule.brightness * column[:, 0]
    mean = images.mean((1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + rule.contrast * column[:, 1])
    side = images.shape[-1]
    if rule.translation:
        images = _moved(images, (draws[:, 2:4] * rule.translation * side).round().long())
    if rule.cutout:
        centre, half = (draws[:, 4:6] + 1) / 2 * side, rule.cutout * side / 2
        place = torch.arange(side, device=images.device) + 0.5
        kept = (place[None, :, None] - centre[:, None]).abs() > half
        images = images * (kept[:, :, None, 0] | kept[:, None, :, 1])[:, None].float()
    return images


def _moved(images: Tensor, by: Tensor) -> Tensor:
    """Moved by whole pixels, grey (0) where nothing was."""
    n, _, side, _ = images.shape
    place = torch.arange(side, device=images.device)
    row, column = place[None] - by[:, :1], place[None] - by[:, 1:]
    inside = ((row >= 0) & (row < side))[:, :, None] & ((column >= 0) & (column < side))[:, None]
    image = torch.arange(n, device=images.device)[:, None, None]
    row, column = row.clamp(0, side - 1), column.clamp(0, side - 1)
    return (images[:, 0][image, row[:, :, None], column[:, None]] * inside)[:, None]
