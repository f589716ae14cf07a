"""What a generator is: enough to build it, and to know what it takes and gives."""

from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from cxr_training.core.config import Section

Family = Literal["dcgan", "pggan"]
COARSEST_PX = 4


class GeneratorSpec(Section):
    """A generator's shape.

    It takes `latent` [n, latent_size], standard normal, and, where it has labels, `labels`
    [n, len(labels)] of zeros and ones (all zeros: no finding). It gives [n, 1, side_px, side_px]
    in -1..1, black to white.
    """

    family: Family
    side_px: int = Field(ge=COARSEST_PX, le=1024, description="A power of two.")
    latent_size: int = Field(gt=0)
    channels: int = Field(gt=0, description="Of the finest layer; coarser ones have more.")
    most_channels: int = Field(gt=0, description="No layer has more.")
    labels: tuple[str, ...] = Field(
        description="What may be asked for, in the order of the input; empty: nothing may."
    )

    @field_validator("side_px")
    @classmethod
    def _is_a_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"{value} is no power of two")
        return value

    def widths(self, finest_px: int) -> list[int]:
        """Channels at 4, 8, ... `finest_px`: twice at half the side, up to `most_channels`."""
        return [min(self.channels * (finest_px // x), self.most_channels) for x in sides(finest_px)]

    def label_input(self, labels: Tensor | None, like: Tensor) -> Tensor:
        """Labels [n, len(labels)] as numbers like those of `like`; None: no finding."""
        shape = (len(like), len(self.labels))
        if labels is None:
            return torch.zeros(shape, dtype=like.dtype, device=like.device)
        if labels.shape != shape:
            raise ValueError(f"labels of shape {tuple(labels.shape)}, not {shape}")
        return labels.to(like)


def sides(finest_px: int) -> tuple[int, ...]:
    """4, 8 and so on up to `finest_px`."""
    return tuple(COARSEST_PX << i for i in range((finest_px // COARSEST_PX).bit_length()))
