"""Strangers made from radiographs: what is no longer a frontal chest, though its texture is.

All pictures are float32 [N, 1, side, side] in 0..1.
"""

import torch
import torch.nn.functional as nnf
from torch import Tensor

from cxr_training.gate.distortions import chance, place, uniform


def inverted(pictures: Tensor) -> Tensor:
    """Black for white."""
    return 1.0 - pictures


def upside_down(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Flipped top to bottom; half of them mirrored too, which is a turn by 180 degrees."""
    flipped = pictures.flip(2)
    return torch.where(chance(len(pictures), 0.5, generator), flipped, flipped.flip(3))


def turned_left(pictures: Tensor) -> Tensor:
    """Turned by 90 degrees counter-clockwise."""
    return torch.rot90(pictures, 1, (2, 3))


def turned_right(pictures: Tensor) -> Tensor:
    """Turned by 90 degrees clockwise."""
    return torch.rot90(pictures, -1, (2, 3))


def cut_out(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A part of at most 42% of each side, blown up: one lung, an elbow, a belly."""
    n, side = len(pictures), pictures.shape[-1]
    seen = uniform(n, 0.12, 0.42, generator).flatten()
    room = 1 - seen
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = seen, seen
    theta[:, :, 2] = (torch.rand(n, 2, generator=generator) * 2 - 1) * room[:, None]
    grid = nnf.affine_grid(theta, [n, 1, side, side], align_corners=False)
    return nnf.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def halved(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """One half (left, right, upper or lower) stretched to the whole."""
    n, side = len(pictures), pictures.shape[-1]
    theta = torch.zeros(n, 2, 3)
    wide = chance(n, 0.5, generator).flatten()
    reach = uniform(n, 0.35, 0.5, generator).flatten()
    sign = torch.where(chance(n, 0.5, generator).flatten(), 1.0, -1.0)
    theta[:, 0, 0] = torch.where(wide, reach, 1.0)
    theta[:, 1, 1] = torch.where(wide, 1.0, reach)
    theta[:, 0, 2] = torch.where(wide, sign * (1 - reach), 0.0)
    theta[:, 1, 2] = torch.where(wide, 0.0, sign * (1 - reach))
    grid = nnf.affine_grid(theta, [n, 1, side, side], align_corners=False)
    return nnf.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def shuffled(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Cut into 2 x 2 to 8 x 8 tiles, and the tiles dealt anew."""
    n, side = len(pictures), pictures.shape[-1]
    tiles = 2 ** int(torch.randint(1, 4, (1,), generator=generator))
    step = side // tiles
    parts = pictures.view(n, tiles, step, tiles, step).transpose(2, 3)
    # One cycle through all tiles, so that none keeps its place.
    cycle = torch.randperm(tiles * tiles, generator=generator)
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(1)
    dealt = parts.reshape(n, tiles * tiles, step, step)[:, order]
    dealt = dealt.view(n, tiles, tiles, step, step).transpose(2, 3)
    return dealt.reshape(n, 1, side, side)


def doubled(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Two or four pictures on one: side by side, stacked, or as a sheet."""
    n, side = len(pictures), pictures.shape[-1]
    half = nnf.avg_pool2d(pictures, 2)
    other = half.roll(1, 0)
    sheet = torch.cat([torch.cat([half, other], 3), torch.cat([other, half], 3)], 2)
    pair = nnf.interpolate(torch.cat([half, other], 3), (side, side))
    stack = nnf.interpolate(torch.cat([half, other], 2), (side, side))
    pick = torch.randint(0, 3, (n, 1, 1, 1), generator=generator)
    return torch.where(pick == 0, sheet, torch.where(pick == 1, pair, stack))


def oblique(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Turned by 35 to 60 degrees off any upright."""
    upright = torch.rot90(pictures, int(torch.randint(0, 4, (1,), generator=generator)), (2, 3))
    away = uniform(len(pictures), 35, 60, generator).flatten().deg2rad()
    zero = torch.zeros_like(away)
    theta = torch.stack(
        [
            torch.stack([away.cos(), -away.sin(), zero], 1),
            torch.stack([away.sin(), away.cos(), zero], 1),
        ],
        1,
    )
    grid = nnf.affine_grid(theta, list(pictures.shape), align_corners=False)
    return nnf.grid_sample(upright, grid, align_corners=False)


def warped(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Smoothly warped until no thorax would look so."""
    n, side = len(pictures), pictures.shape[-1]
    field = torch.randn(n, 2, 5, 5, generator=generator)
    bend = nnf.interpolate(field, (side, side), mode="bicubic", align_corners=False)
    grid = nnf.affine_grid(torch.eye(2, 3).repeat(n, 1, 1), [n, 1, side, side], align_corners=False)
    strength = uniform(n, 0.3, 0.6, generator)
    bent = grid + (strength * bend).permute(0, 2, 3, 1)
    return nnf.grid_sample(pictures, bent, padding_mode="border", align_corners=False)


def shrunken(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """So small on a plain ground that most of the picture is something else."""
    seen = (2.4, 4.0)
    return place(pictures, pictures.shape[-1], generator, turn_deg=5, zoom=seen, shift=0.3)


def mixed_up(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Inverted and turned at once, or laid over its own turned self."""
    n = len(pictures)
    quarter = 1 + 2 * int(torch.randint(0, 2, (1,), generator=generator))
    turned = torch.rot90(pictures, quarter, (2, 3))
    other = torch.where(chance(n, 0.5, generator), turned, pictures.flip(2))
    laid_over = (pictures.roll(1, 0) + other) / 2
    return torch.where(chance(n, 0.6, generator), inverted(other), laid_over)


SPOILED = (cut_out, cut_out, halved, shuffled, doubled, oblique, warped, shrunken, mixed_up)


def spoil(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures of the kind `other`, each group spoiled in a different way."""
    groups = pictures.chunk(len(SPOILED))
    ways = torch.randperm(len(SPOILED), generator=generator).tolist()
    spoiled = [SPOILED[way](group, generator) for way, group in zip(ways, groups, strict=False)]
    return torch.cat(spoiled)
