"""What progressive growing brought (Karras et al., ICLR 2018): sections 3, 4.1 and 4.2."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
# Images over which the discriminator looks for variety. A batch is cut into such groups, so that
# its shares on several GPUs are judged as the whole would be on one.
GROUP = 4
_RECTIFIED = math.sqrt(2)


class EqualisedConv(nn.Conv2d):
    """A convolution whose weights start at unit variance and are scaled as they are used.

    All weights then have one range, and Adam's step is the same part of each: section 4.1.
    """

    def __init__(self, n_in: int, n_out: int, side: int, gain: float = _RECTIFIED) -> None:
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
