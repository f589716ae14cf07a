"""The table of colours, measured: apart from each other, legible under black letters."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ImageColor
from skimage import color

from cxr_contracts import Finding, Region
from cxr_gateway.rendering import FINDING_COLOURS, PRIORITY_COLOURS, colour_of
from cxr_gateway.rendering.colours import PANEL, TEXT, TEXT_MUTED, display_name

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
Colour = npt.NDArray[np.float64]


def linear(colour: str) -> Colour:
    """sRGB `#rrggbb` as linear RGB, [3], 0..1."""
    value = np.array(ImageColor.getrgb(colour)[:3]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def seen(colour: str, sight: str) -> Colour:
    """The CIELAB colour that somebody of `sight` sees."""
    value = np.clip(SIGHTS[sight] @ linear(colour), 0, 1)
    encoded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(color.rgb2lab(encoded))


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_every_finding_of_either_reader_has_a_colour_and_there_is_no_other() -> None:
    names = {finding.value for finding in Finding} | {region.value for region in Region}
    assert set(FINDING_COLOURS) == names
    assert colour_of(Finding.MASS) == colour_of(Region.MASS) == "#ff0088"
    assert display_name(Finding.PLEURAL_THICKENING) == "Pleural thickening"


@pytest.mark.parametrize(
    ("sight", "least"),
    [("normal", 14.0), ("protanopia", 9.0), ("deuteranopia", 9.0), ("tritanopia", 6.0)],
)
def test_any_two_colours_are_told_apart(sight: str, least: float) -> None:
    colours = [seen(colour, sight) for colour in FINDING_COLOURS.values()]
    one, other = (np.stack(side) for side in zip(*combinations(colours, 2), strict=True))
    distance: Any = color
    assert distance.deltaE_ciede2000(one, other).min() >= least


@pytest.mark.parametrize("name", FINDING_COLOURS)
def test_black_letters_are_legible_on_a_label(name: str) -> None:
    assert contrast(FINDING_COLOURS[name], "#000000") >= 4.5


def test_the_letters_of_chips_and_panel_are_legible() -> None:
    for fill, letters in PRIORITY_COLOURS.values():
        assert contrast(fill, letters) >= 4.5
    assert contrast(TEXT, PANEL) >= 7
    assert contrast(TEXT_MUTED, PANEL) >= 4.5
