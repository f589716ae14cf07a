"""What happens to a radiograph on its way here, applied to every kind alike.

Exposure, window, borders, markers, devices, noise and sharpness must tell nothing about the kind.
All pictures are float32 [N, 1, side, side] in 0..1.
"""

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """`n` uniform numbers, shaped [n, 1, 1, 1]."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)


def chance(n: int, probability: float, generator: torch.Generator) -> Tensor:
    """`n` yes or no, bool [n, 1, 1, 1]."""
    return torch.rand(n, 1, 1, 1, generator=generator) < probability


def place(
    pictures: Tensor,
    side_px: int,
    generator: torch.Generator,
    *,
    turn_deg: float,
    zoom: tuple[float, float],
    shift: float,
) -> Tensor:
    """Turn, zoom, shift and mirror at random, and bring to `side_px`.

    Args:
        pictures: [N, 1, cache, cache].
        side_px: side of the answer.
        generator: source of chance.
        turn_deg: largest turn, degrees either way.
        zoom: smallest and largest part of the side that is seen; above 1 leaves a border.
        shift: largest shift, as a part of the side.
    """
    n = len(pictures)
    angle = uniform(n, -1, 1, generator).flatten() * math.radians(turn_deg)
    seen_x = uniform(n, *zoom, generator).flatten()
    seen_y = seen_x * uniform(n, 0.9, 1.1, generator).flatten()
    mirror = torch.where(chance(n, 0.3, generator).flatten(), -1.0, 1.0)
    theta = torch.stack(
        [
            torch.stack([mirror * seen_x * angle.cos(), -seen_y * angle.sin()], dim=1),
            torch.stack([mirror * seen_x * angle.sin(), seen_y * angle.cos()], dim=1),
        ],
        dim=1,
    )
    offset = (torch.rand(n, 2, 1, generator=generator) * 2 - 1) * 2 * shift
    grid = nnf.affine_grid(
        torch.cat([theta, offset], dim=2), [n, 1, side_px, side_px], align_corners=False
    )
    # Corners that come into view are black or repeat the edge, as scanners leave them.
    black = nnf.grid_sample(pictures, grid, padding_mode="zeros", align_corners=False)
    edge = nnf.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return torch.where(chance(n, 0.5, generator), black, edge)


def expose(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Gamma, window (part of the greys clipped to black or white), sharpness, noise."""
    n = len(pictures)
    flat = pictures.flatten(1)
    low = flat.amin(1).view(n, 1, 1, 1)
    high = flat.amax(1).view(n, 1, 1, 1)
    scaled = (pictures - low) / (high - low).clamp_min(1e-3)
    floor = uniform(n, -0.1, 0.22, generator)
    ceiling = uniform(n, 0.65, 1.1, generator)
    windowed = ((scaled - floor) / (ceiling - floor)).clamp(0, 1)
    gamma = torch.exp(uniform(n, -0.75, 0.75, generator))
    exposed = torch.where(chance(n, 0.75, generator), windowed.clamp_min(1e-4) ** gamma, scaled)
    # Blank and faint pictures stay as faint as they were.
    exposed = exposed * (high - low).clamp_min(1e-3) + low
    blurred = nnf.avg_pool2d(nnf.pad(exposed, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    sharpened = exposed + uniform(n, -0.9, 0.7, generator) * (exposed - blurred)
    grain = uniform(n, -0.06, 0.07, generator).clamp_min(0) * torch.randn(
        pictures.shape, generator=generator
    )
    return (sharpened + grain).clamp(0, 1)


def frame(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Collimation borders, black, white or grey, on some sides of some pictures."""
    n, side = len(pictures), pictures.shape[-1]
    grey = torch.where(
        chance(n, 0.7, generator),
        torch.zeros(n, 1, 1, 1),
        torch.rand(n, 1, 1, 1, generator=generator),
    )
    axis = torch.arange(side)
    framed = chance(n, 0.35, generator)
    for dimension in (2, 3):
        shape = (1, 1, side, 1) if dimension == 2 else (1, 1, 1, side)
        steps = axis.view(shape)
        before = uniform(n, -0.1, 0.14, generator) * side
        after = uniform(n, -0.1, 0.14, generator) * side
        outside = (steps < before) | (steps >= side - after)
        pictures = torch.where(outside & framed, grey, pictures)
    return pictures


def mark(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Letters (as small boxes) and lines or tubes over some pictures."""
    n, side = len(pictures), pictures.shape[-1]
    y = torch.arange(side).view(1, 1, side, 1) / side
    x = torch.arange(side).view(1, 1, 1, side) / side
    for _ in range(2):
        left, top = uniform(n, 0, 1, generator), uniform(n, 0, 1, generator)
        width, height = uniform(n, 0.02, 0.15, generator), uniform(n, 0.02, 0.06, generator)
        box = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
        grey = torch.where(
            chance(n, 0.8, generator), torch.ones(n, 1, 1, 1), torch.zeros(n, 1, 1, 1)
        )
        pictures = torch.where(box & chance(n, 0.25, generator), grey, pictures)
    angle = uniform(n, 0, math.pi, generator)
    across = (x - uniform(n, 0.2, 0.8, generator)) * angle.cos()
    across = across + (y - uniform(n, 0.2, 0.8, generator)) * angle.sin()
    bend = uniform(n, -0.5, 0.5, generator) * (x - 0.5) ** 2
    tube = ((across + bend).abs() < uniform(n, 0.004, 0.02, generator)) & chance(n, 0.2, generator)
    return torch.where(tube, (pictures + 0.35).clamp(0, 1), pictures)


def distort(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """All that a picture may meet after it was taken, in the order in which it happens."""
    return mark(frame(expose(pictures, generator), generator), generator)
