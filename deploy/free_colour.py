"""A colour for a new finding: as far from those that there are as one can be.

python -m deploy.free_colour

Distances are CIEDE2000, under normal sight and under simulated protanopia, deuteranopia and
tritanopia; black letters on the colour, and the colour on a radiograph, keep contrast.
"""

import sys
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageColor
from skimage import color

from cxr_gateway.rendering import FINDING_COLOURS

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
# The least distance between any two colours, by who looks.
LEAST = {"normal": 14.0, "protanopia": 9.0, "deuteranopia": 9.0, "tritanopia": 6.0}
LEAST_CONTRAST = 4.5
_STEPS = tuple(f"{step * 17:02x}" for step in range(16))
Colours = npt.NDArray[np.float64]


def linear(colour: str) -> Colours:
    """Of an sRGB `#rrggbb`, linear RGB, [3], 0..1."""
    value = np.array(ImageColor.getrgb(colour)[:3]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@cache
def seen(colour: str, sight: str) -> Colours:
    """The CIELAB colour that somebody of `sight` sees."""
    value = np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
    encoded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(color.rgb2lab(encoded))


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def room(colour: str) -> float:
    """How far it is from the nearest of the findings' colours, in units of `LEAST`; 1 is enough."""
    distance: Any = color.deltaE_ciede2000
    rooms = []
    for sight, least in LEAST.items():
        taken = np.stack([seen(one, sight) for one in FINDING_COLOURS.values()])
        one = np.broadcast_to(seen(colour, sight), taken.shape)
        rooms.append(float(distance(one, taken).min()) / least)
    return min(rooms)


def freest() -> tuple[str, float]:
    """The colour with the most room, and how much that is."""
    every = ("#" + "".join(parts) for parts in product(_STEPS, repeat=3))
    legible = [colour for colour in every if contrast(colour, "#000000") >= LEAST_CONTRAST]
    best = max(legible, key=room)
    return best, room(best)


if __name__ == "__main__":
    found, has = freest()
    sys.stdout.write(f"{found} ({has:.2f} of the distance that colours have to keep)\n")
