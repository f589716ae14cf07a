"""What happens to images in training: what a radiograph survives, and what it does not.

Everything here maps float32 [N, 1, H, W] in 0..1 to the same and draws from PyTorch's global
generator. A torchvision transform draws once a call, so batches go through in small groups.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as vf

Transform = Callable[[Tensor], Tensor]
# Images that share a transform's draw.
_GROUP = 8
# What counts as upright and whole.
_ACCEPTED_TURN_DEG = 13.0
_ACCEPTED_ZOOM = (0.87, 1.12)
_ACCEPTED_SHIFT = 0.06
_affine = partial(v2.RandomAffine, interpolation=v2.InterpolationMode.BILINEAR)


def in_groups(transform: Transform, images: Tensor) -> Tensor:
    """`transform` over small groups of images, each with a draw of its own."""
    return torch.cat([transform(group) for group in torch.split(images, _GROUP)])


def placement(side_px: int, result_px: int) -> Transform:
    """Mirrors, turns, zooms and shifts within what is accepted; from `side_px` to `result_px`."""
    affine = _affine(_ACCEPTED_TURN_DEG, (_ACCEPTED_SHIFT, _ACCEPTED_SHIFT), _ACCEPTED_ZOOM)
    on_edge = [v2.Pad(side_px // 4, padding_mode="edge"), affine, v2.CenterCrop(side_px)]
    steps = [
        v2.RandomHorizontalFlip(0.3),
        # Corners that come into view are black or repeat the edge, as scanners leave them.
        v2.RandomChoice([affine, v2.Compose(on_edge)]),
        v2.RandomResizedCrop(result_px, scale=(0.85, 1.0), ratio=(0.9, 1.1)),
    ]
    composed: Transform = v2.Compose(steps)
    return composed


def exposed(images: Tensor) -> Tensor:
    """Another window and gamma, image by image; a faint image stays faint."""
    n = len(images)
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    span = (high - low).clamp_min(1e-3)
    floor, ceiling = _uniform(n, -0.1, 0.22), _uniform(n, 0.65, 1.1)
    windowed = (((images - low) / span - floor) / (ceiling - floor)).clamp(1e-4, 1)
    return windowed ** torch.exp(_uniform(n, -0.75, 0.75)) * span + low


def framed(images: Tensor) -> Tensor:
    """Collimation borders of one grey value, up to 14% wide, on some sides of each image."""
    n, _, height, width = images.shape
    inside = torch.ones(n, 1, height, width, dtype=torch.bool)
    for shape in ((1, 1, height, 1), (1, 1, 1, width)):
        place = torch.linspace(0, 1, max(shape)).view(shape)
        inside &= (place >= _uniform(n, -0.1, 0.14)) & (place <= 1 - _uniform(n, -0.1, 0.14))
    grey = torch.rand(n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < 0.3)
    return torch.where(inside, images, grey)


# Exposure, sharpness, noise, borders, letters and tubes must tell nothing about the kind: every
# kind goes through this, in the order in which it happens.
acquisition: Transform = v2.Compose(
    [
        v2.RandomApply([v2.Lambda(exposed)], 0.75),
        v2.RandomChoice(
            [v2.Identity(), v2.GaussianBlur(3, (0.3, 1.0)), v2.RandomAdjustSharpness(1.8, p=1)]
        ),
        v2.RandomApply([v2.GaussianNoise(sigma=0.03)], 0.5),
        v2.RandomApply([v2.Lambda(framed)], 0.35),
        v2.RandomErasing(0.35, scale=(0.001, 0.009), ratio=(0.3, 1.0), value=1),
        v2.RandomErasing(0.1, scale=(0.001, 0.009), ratio=(0.3, 1.0), value=0),
        v2.RandomErasing(0.1, scale=(0.005, 0.02), ratio=(0.01, 0.04), value=0.9),
        v2.RandomErasing(0.1, scale=(0.005, 0.02), ratio=(25.0, 100.0), value=0.9),
    ]
)


def upside_down(images: Tensor) -> Tensor:
    """Flipped top to bottom; half of them mirrored too, which is a turn by 180 degrees."""
    flipped: Tensor = v2.RandomHorizontalFlip(0.5)(vf.vertical_flip(images))
    return flipped


def turned(images: Tensor, quarters: int) -> Tensor:
    """Turned counter-clockwise by `quarters` of 90 degrees."""
    return torch.rot90(images, quarters, (2, 3))


# The kinds that keep a radiograph whole.
REORIENTED: dict[str, Transform] = {
    "frontal_chest": lambda images: images,
    "inverted": lambda images: 1 - images,
    "upside_down": upside_down,
    "turned_left": partial(turned, quarters=1),
    "turned_right": partial(turned, quarters=-1),
}


def shuffled(images: Tensor) -> Tensor:
    """Cut into 2 x 2 to 8 x 8 tiles, and the tiles dealt anew."""
    tiles = 2 ** int(torch.randint(1, 4, ()))
    step = images.shape[-1] // tiles
    parts = nnf.unfold(images, step, stride=step)
    # One cycle through all tiles, so that none keeps its place.
    cycle = torch.randperm(tiles * tiles)
    order = torch.empty_like(cycle)
    order[cycle] = cycle.roll(1)
    return nnf.fold(parts[..., order], images.shape[2:], step, stride=step)


def doubled(images: Tensor) -> Tensor:
    """Two or four images on one: side by side, stacked, or as a sheet."""
    half = nnf.avg_pool2d(images, 2)
    other = half.roll(1, 0)
    beside, below = torch.cat([half, other], 3), torch.cat([half, other], 2)
    sheet = torch.cat([beside, beside.flip(3)], 2)
    pick = int(torch.randint(0, 3, ()))
    return nnf.interpolate((beside, below, sheet)[pick], images.shape[2:])


def oblique(images: Tensor) -> Tensor:
    """Turned by 35 to 60 degrees off any upright."""
    rotation = v2.RandomRotation((35, 60), interpolation=v2.InterpolationMode.BILINEAR)
    return turned(rotation(images), int(torch.randint(0, 4, ())))


def warped(images: Tensor) -> Tensor:
    """Smoothly warped until no thorax would look so."""
    field = _uniform(1, 0.3, 0.6) * torch.randn(1, 2, 5, 5)
    bend = nnf.interpolate(field, images.shape[2:], mode="bicubic", align_corners=False)
    warped_images: Tensor = vf.elastic(images, bend.permute(0, 2, 3, 1))
    return warped_images


def overlaid(images: Tensor) -> Tensor:
    """Each laid over its neighbour, turned or flipped, or inverted and turned at once."""
    quarter = 1 + 2 * int(torch.randint(0, 2, ()))
    other = turned(images, quarter) if torch.rand(()) < 0.5 else images.flip(2)
    return 1 - other if torch.rand(()) < 0.6 else (images.roll(1, 0) + other) / 2


def destructive(side_px: int) -> list[Transform]:
    """Corruptions after which a radiograph of `side_px` is a frontal chest no longer."""
    part = partial(v2.RandomResizedCrop, side_px)
    cut_out = part(scale=(0.0144, 0.176), ratio=(0.8, 1.25))
    upright_half, wide_half = (0.35, 0.5), (2.0, 2.85)
    halved = [part(scale=(0.35, 0.5), ratio=ratio) for ratio in (upright_half, wide_half)]
    # So small on a plain ground that most of the image is something else.
    shrunken = _affine(5, (0.3, 0.3), (0.25, 0.42))
    ways = [cut_out, cut_out, v2.RandomChoice(halved), shrunken]
    return [*ways, shuffled, doubled, oblique, warped, overlaid]


def corrupted(images: Tensor, ways: list[Transform]) -> Tensor:
    """Images of the kind `other`, each group corrupted in a random one of `ways`."""
    order = torch.randperm(len(ways)).tolist()
    groups = images.chunk(len(ways))
    return torch.cat([ways[way](group) for way, group in zip(order, groups, strict=False)])


def blended(images: Tensor) -> Tensor:
    """A quarter laid over one another: kinds between the kinds that were thought of."""
    n = len(images)
    weight = _uniform(n, 0.3, 0.7)
    mixed = weight * images + (1 - weight) * images[torch.randperm(n)]
    return torch.where(torch.rand(n, 1, 1, 1) < 0.25, mixed, images)


def _uniform(n: int, low: float, high: float) -> Tensor:
    return torch.empty(n, 1, 1, 1).uniform_(low, high)
