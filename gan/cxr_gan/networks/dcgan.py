"""DCGAN (Radford, Metz and Chintala, ICLR 2016), with labels as Mirza and Osindero (2014) add them.

Strided convolutions instead of pooling, batch normalisation everywhere but at the image, no
hidden dense layer, ReLU and tanh against leaky ReLU, weights from N(0, 0.02).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from cxr_gan.networks.spec import COARSEST_PX, GeneratorSpec

SLOPE = 0.2
SMALLEST_PX = 8


class DcganGenerator(nn.Module):
    """Latent and labels side by side, to an image by transposed convolutions."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = _widths(spec)
        n_in = spec.latent_size + len(spec.labels)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(n_in, widths[0], COARSEST_PX, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
                nn.BatchNorm2d(narrow),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1), nn.Tanh())
        self.apply(_initialise)

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """The images [n, 1, side, side] in -1..1."""
        asked = self.spec.label_input(labels, latent)
        images: Tensor = self.layers(torch.cat([latent, asked], 1)[:, :, None, None])
        return images


class DcganDiscriminator(nn.Module):
    """The image and, as planes of zeros or ones, the labels, to a logit."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = _widths(spec)[::-1]
        layers: list[nn.Module] = [
            nn.Conv2d(1 + len(spec.labels), widths[0], 4, 2, 1),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow, wide, 4, 2, 1, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(SLOPE, inplace=True),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, COARSEST_PX))
        self.apply(_initialise)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n], high where the image seems real and of these labels."""
        asked = self.spec.label_input(labels, images)
        planes = asked[:, :, None, None].expand(-1, -1, *images.shape[2:])
        logits: Tensor = self.layers(torch.cat([images, planes], 1))
        return logits.flatten()


def _widths(spec: GeneratorSpec) -> list[int]:
    """Channels of each layer, coarsest first; the last one before the image has half its side."""
    if spec.side_px < SMALLEST_PX:
        raise ValueError(f"a DCGAN of {spec.side_px} px has no layers: {SMALLEST_PX} px or more")
    return spec.widths(spec.side_px // 2)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
