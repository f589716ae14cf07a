"""Differentiable augmentation (Zhao et al., NeurIPS 2020), for grey pictures.

What the discriminator sees of real and of generated pictures is varied alike, so that it cannot
learn a small data set by heart, and the generator does not learn the variations.
"""

import torch
from torch import Tensor

from cxr_gan.training.config import Augmentation

# Of each picture: brightness, contrast, translation (2), the place of the cut (2).
DRAWS = 6


def augmented(pictures: Tensor, draws: Tensor, rule: Augmentation) -> Tensor:
    """`pictures` [n, 1, s, s] varied by `draws` [n, DRAWS], uniform in -1..1."""
    column = draws.view(len(draws), DRAWS, 1, 1, 1)
    pictures = pictures + rule.brightness * column[:, 0]
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * (1 + rule.contrast * column[:, 1])
    side = pictures.shape[-1]
    if rule.translation:
        pictures = _moved(pictures, (draws[:, 2:4] * rule.translation * side).round().long())
    if rule.cutout:
        centre = (draws[:, 4:6] + 1) / 2 * side
        pictures = pictures * _kept(centre, rule.cutout * side / 2, side)
    return pictures


def _moved(pictures: Tensor, by: Tensor) -> Tensor:
    """Moved by whole pixels, grey (0) where nothing was."""
    n, _, side, _ = pictures.shape
    place = torch.arange(side, device=pictures.device)
    row, column = place[None] - by[:, :1], place[None] - by[:, 1:]
    inside = ((row >= 0) & (row < side))[:, :, None] & ((column >= 0) & (column < side))[:, None]
    image = torch.arange(n, device=pictures.device)[:, None, None]
    found = pictures[:, 0][
        image, row.clamp(0, side - 1)[:, :, None], column.clamp(0, side - 1)[:, None]
    ]
    return (found * inside)[:, None]


def _kept(centre: Tensor, half: float, side: int) -> Tensor:
    place = torch.arange(side, device=centre.device) + 0.5
    outside = (place[None, :, None] - centre[:, None]).abs() > half
    return (outside[:, :, None, 0] | outside[:, None, :, 1])[:, None].float()
