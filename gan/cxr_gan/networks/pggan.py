"""Progressive growing (Karras, Aila, Laine and Lehtinen, ICLR 2018).

All layers stand there from the beginning; `side_px` and `fade` say which of them are at work.
The discriminator takes labels by projection (Miyato and Koyama, ICLR 2018): docs/adr/0014.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxr_gan.networks.labels import asked_for
from cxr_gan.networks.layers import (
    SLOPE,
    EqualisedConv,
    EqualisedLinear,
    pixel_norm,
    with_deviation,
)
from cxr_gan.networks.widths import COARSEST_PX, sides, width
from cxr_gan.spec import GeneratorSpec


class Growing(nn.Module):
    """A network that works at one of its sides, the newest layer blended in by `fade`."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.sides = sides(spec.side_px)
        self.widths = [width(spec, side, spec.side_px) for side in self.sides]
        self.grow(spec.side_px)

    def grow(self, side_px: int, fade: float = 1.0) -> None:
        """Work at `side_px`; `fade` 0: what the side before gave, 1: the new layer alone."""
        self.newest = self.sides.index(side_px)
        self.fade = fade if self.newest else 1.0


class PgganGenerator(Growing):
    """Latent and embedded labels on their spheres, to a picture by doubling."""

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
        self.pictures = nn.ModuleList(EqualisedConv(n, 1, 1, gain=1.0) for n in self.widths)

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """The pictures [n, 1, side, side]; within -1..1 only when it does not train."""
        asked = asked_for(self.spec, labels, latent)
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
        picture: Tensor = self.pictures[self.newest](features)
        if self.fade < 1:
            coarse = functional.interpolate(self.pictures[self.newest - 1](before), scale_factor=2)
            picture = coarse + self.fade * (picture - coarse)
        return picture if self.training else picture.clamp(-1, 1)


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

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n], high where the picture seems real and of these labels."""
        asked = asked_for(self.spec, labels, pictures)
        features = functional.leaky_relu(self.pictures[self.newest](pictures), SLOPE)
        for number in reversed(range(self.newest)):
            for layer in self.blocks[number].children():
                features = functional.leaky_relu(layer(features), SLOPE)
            features = functional.avg_pool2d(features, 2)
            if self.fade < 1 and number == self.newest - 1:
                half = functional.avg_pool2d(pictures, 2)
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
