"""How many channels a layer has, by the side of its picture."""

from cxr_gan.spec import GeneratorSpec

COARSEST_PX = 4


def sides(finest_px: int) -> tuple[int, ...]:
    """4, 8 and so on up to `finest_px`."""
    return tuple(COARSEST_PX << i for i in range((finest_px // COARSEST_PX).bit_length()))


def width(spec: GeneratorSpec, side_px: int, finest_px: int) -> int:
    """Twice the channels at half the side, up to the most that the specification allows."""
    return min(spec.channels * (finest_px // side_px), spec.most_channels)
