"""DCGAN (Radford, Metz and Chintala, ICLR 2016), with labels as Mirza and Osindero (2014) add them.

Strided convolutions instead of pooling, batch normalisation everywhere but at the picture, no
hidden dense layer, ReLU and tanh against leaky ReLU, weights from N(0, 0.02).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cxr_gan.networks.labels import asked_for
from cxr_gan.networks.layers import SLOPE
from cxr_gan.networks.widths import COARSEST_PX, sides, width
from cxr_gan.spec import GeneratorSpec

SMALLEST_PX = 8


class DcganGenerator(nn.Module):
    """Latent and labels side by side, to a picture by transposed convolutions."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        finest_px = _finest(spec)
        widths = [width(spec, side, finest_px) for side in sides(finest_px)]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(
                spec.latent_size + len(spec.labels), widths[0], COARSEST_PX, bias=False
            ),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for n_in, n_out in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(n_in, n_out, 4, 2, 1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1), nn.Tanh())
        self.apply(_start)

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """The pictures [n, 1, side, side] in -1..1."""
        asked = asked_for(self.spec, labels, latent)
        pictures: Tensor = self.layers(torch.cat([latent, asked], 1)[:, :, None, None])
        return pictures


class DcganDiscriminator(nn.Module):
    """The picture and, as planes of zeros or ones, the labels, to a logit."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        finest_px = _finest(spec)
        widths = [width(spec, side, finest_px) for side in reversed(sides(finest_px))]
        layers: list[nn.Module] = [
            nn.Conv2d(1 + len(spec.labels), widths[0], 4, 2, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
        for n_in, n_out in pairwise(widths):
            layers += [
                nn.Conv2d(n_in, n_out, 4, 2, 1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, COARSEST_PX))
        self.apply(_start)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n], high where the picture seems real and of these labels."""
        asked = asked_for(self.spec, labels, pictures)
        planes = asked[:, :, None, None].expand(-1, -1, *pictures.shape[2:])
        logits: Tensor = self.layers(torch.cat([pictures, planes], 1))
        return logits.flatten()


def _finest(spec: GeneratorSpec) -> int:
    """The side of the last layer before the picture."""
    if spec.side_px < SMALLEST_PX:
        raise ValueError(f"a DCGAN of {spec.side_px} px has no layers: {SMALLEST_PX} px or more")
    return spec.side_px // 2


def _start(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
