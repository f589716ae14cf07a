"""What a generator is: enough to build it, and to know what it takes and gives."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Family = Literal["dcgan", "pggan"]


class GeneratorSpec(BaseModel):
    """A generator's shape.

    It takes `latent` [n, latent_size], standard normal, and, where it has labels, `labels`
    [n, len(labels)] of zeros and ones (all zeros: no finding). It gives [n, 1, side_px, side_px]
    in -1..1, black to white.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Family
    side_px: int = Field(ge=4, le=1024, description="A power of two.")
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
            raise ValueError("must be a power of two")
        return value
