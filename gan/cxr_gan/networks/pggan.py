"""Progressive growing (Karras, Aila, Laine and Lehtinen, ICLR 2018), and the layers it brought.

All layers exist from the beginning; `side_px` and `fade` say which of them are at work.
The discriminator takes labels by projection (Miyato and Koyama, ICLR 2018): docs/adr/0014.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_gan.networks.spec import COARSEST_PX, GeneratorSpec, sides

SLOPE = 0.2
# Images over which the discriminator looks for variety. A batch is cut into such groups, so that
# its shares on several GPUs are treated as the whole would be on one.
GROUP = 4


class EqualisedConv(nn.Conv2d):
    """A convolution whose weights start at unit variance and are scaled as they are used.

    All weights then have one range, and Adam's step is the same part of each: section 4.1.
    """

    def __init__(self, n_in: int, n_out: int, side: int, gain: float = math.sqrt(2)) -> None:
        super().__init__(n_in, n_out, side, padding=side // 2 if side % 2 else 0)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.gain = gain / math.sqrt(n_in * side * side)

    def forward(self, features: Tensor) -> Tensor:
        """As a convolution does."""
        return functional.conv2d(features, self.weight * self.gain, self.bias, padding=self.padding)


class EqualisedLinear(nn.Linear):
    """The same for vectors."""

    def __init__(self, n_in: int, n_out: int, gain: float = 1.0) -> None:
        super().__init__(n_in, n_out)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)
        self.gain = gain / math.sqrt(n_in)

    def forward(self, vector: Tensor) -> Tensor:
        """As a linear layer does."""
        return functional.linear(vector, self.weight * self.gain, self.bias)


def pixel_norm(features: Tensor) -> Tensor:
    """Each pixel's vector at unit mean square, in 32 bits: section 4.2."""
    full = features.float()
    scale = torch.rsqrt(full.square().mean(1, keepdim=True) + 1e-8)
    return (full * scale).to(features.dtype)


def with_deviation(features: Tensor) -> Tensor:
    """`features` [n, c, h, w] and one more channel: how much the images of a group differ.

    Section 3: without it nothing tells the discriminator that all images are one image.
    """
    n, channels, height, width = features.shape
    size = GROUP if n % GROUP == 0 else n
    groups = features.float().view(n // size, size, channels, height, width)
    spread = (groups.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    plane = spread.repeat_interleave(size).view(n, 1, 1, 1).expand(n, 1, height, width)
    return torch.cat([features, plane.to(features.dtype)], 1)


class Growing(nn.Module):
    """A network that works at one of its sides, the newest layer blended in by `fade`."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.sides, self.widths = sides(spec.side_px), spec.widths(spec.side_px)
        self.grow(spec.side_px)

    def grow(self, side_px: int, fade: float = 1.0) -> None:
        """Work at `side_px`; `fade` 0: what the side before gave, 1: the new layer alone."""
        self.newest = self.sides.index(side_px)
        self.fade = fade if self.newest else 1.0


class PgganGenerator(Growing):
    """Latent and embedded labels on their spheres, to an image by doubling."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        n_in, first = spec.latent_size, self.widths[0]
        if spec.labels:
            self.embedding = EqualisedLinear(len(spec.labels), spec.latent_size)
            n_in *= 2
        # A dense layer as the paper's 4 x 4 convolution of one pixel, its gain a quarter.
        self.dense = EqualisedLinear(n_in, first * COARSEST_PX**2, gain=2**0.5 / 4)
        self.first = EqualisedConv(first, first, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(EqualisedConv(wide, narrow, 3), EqualisedConv(narrow, narrow, 3))
            for wide, narrow in zip(self.widths, self.widths[1:], strict=False)
        )
        # To an image at each side. The published weights have this name.
        self.pictures = nn.ModuleList(EqualisedConv(n, 1, 1, gain=1.0) for n in self.widths)

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images [n, 1, side, side]; within -1..1 only when it does not train."""
        asked = self.spec.label_input(labels, latent)
        vector = pixel_norm(latent)
        if self.spec.labels:
            vector = torch.cat([vector, pixel_norm(self.embedding(asked))], 1)
        features = self.dense(vector).view(len(latent), self.widths[0], COARSEST_PX, COARSEST_PX)
        features = _normalised(self.first, pixel_norm(functional.leaky_relu(features, SLOPE)))
        before = features
        for block in self.blocks[: self.newest]:
            before = features
            features = functional.interpolate(features, scale_factor=2)
            for layer in block.children():
                features = _normalised(layer, features)
        image: Tensor = self.pictures[self.newest](features)
        if self.fade < 1:
            coarse = functional.interpolate(self.pictures[self.newest - 1](before), scale_factor=2)
            image = coarse + self.fade * (image - coarse)
        return image if self.training else image.clamp(-1, 1)


class PgganDiscriminator(Growing):
    """The mirror image of the generator, and what it finds projected on the labels."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__(spec)
        last = self.widths[0]
        self.pictures = nn.ModuleList(EqualisedConv(1, n, 1) for n in self.widths)
        self.blocks = nn.ModuleList(
            nn.Sequential(EqualisedConv(narrow, narrow, 3), EqualisedConv(narrow, wide, 3))
            for wide, narrow in zip(self.widths, self.widths[1:], strict=False)
        )
        self.last = EqualisedConv(last + 1, last, 3)
        self.dense = EqualisedLinear(last * COARSEST_PX**2, last, gain=2**0.5)
        self.logit = EqualisedLinear(last, 1)
        if spec.labels:
            self.embedding = EqualisedLinear(len(spec.labels), last)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n], high where the image seems real and of these labels."""
        asked = self.spec.label_input(labels, images)
        features = functional.leaky_relu(self.pictures[self.newest](images), SLOPE)
        for number in reversed(range(self.newest)):
            for layer in self.blocks[number].children():
                features = functional.leaky_relu(layer(features), SLOPE)
            features = functional.avg_pool2d(features, 2)
            if self.fade < 1 and number == self.newest - 1:
                half = functional.avg_pool2d(images, 2)
                coarse = functional.leaky_relu(self.pictures[number](half), SLOPE)
                features = coarse + self.fade * (features - coarse)
        features = functional.leaky_relu(self.last(with_deviation(features)), SLOPE)
        found = functional.leaky_relu(self.dense(features.flatten(1)), SLOPE)
        logits: Tensor = self.logit(found).flatten()
        if self.spec.labels:
            logits = logits + (self.embedding(asked) * found).sum(1) / found.shape[1] ** 0.5
        return logits


def _normalised(layer: nn.Module, features: Tensor) -> Tensor:
    return pixel_norm(functional.leaky_relu(layer(features), SLOPE))
