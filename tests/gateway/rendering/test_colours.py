"""The table of colours, measured: apart from each other, legible under black letters."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from skimage import color

from cxr_contracts import Finding, Region
from cxr_gateway.rendering import FINDING_COLOURS, PRIORITY_COLOURS, colour_of
from cxr_gateway.rendering.colours import PANEL, TEXT, TEXT_MUTED, display_name
from deploy.free_colour import LEAST, LEAST_CONTRAST, contrast, freest, room, seen


def test_every_finding_of_either_service_has_a_colour_and_there_is_no_other() -> None:
    names = {finding.value for finding in Finding} | {region.value for region in Region}
    assert set(FINDING_COLOURS) == names, "`python -m deploy.free_colour` finds a free one"
    assert colour_of(Finding.MASS) == colour_of(Region.MASS) == "#ff0088"
    assert display_name(Finding.PLEURAL_THICKENING) == "Pleural thickening"


@pytest.mark.parametrize(("sight", "least"), LEAST.items())
def test_any_two_colours_are_told_apart(sight: str, least: float) -> None:
    colours = [seen(colour, sight) for colour in FINDING_COLOURS.values()]
    one, other = (np.stack(side) for side in zip(*combinations(colours, 2), strict=True))
    distance: Any = color
    assert distance.deltaE_ciede2000(one, other).min() >= least


@pytest.mark.parametrize("name", FINDING_COLOURS)
def test_black_letters_are_legible_on_a_label(name: str) -> None:
    assert contrast(FINDING_COLOURS[name], "#000000") >= LEAST_CONTRAST


def test_the_colour_of_a_finding_that_loses_it_is_free_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = FINDING_COLOURS["Mass"]
    assert room(lost) == 0
    monkeypatch.delitem(FINDING_COLOURS, "Mass")
    assert room(lost) >= 1
    found, has = freest()
    assert has >= room(lost)
    assert contrast(found, "#000000") >= LEAST_CONTRAST


def test_the_letters_of_chips_and_panel_are_legible() -> None:
    for fill, letters in PRIORITY_COLOURS.values():
        assert contrast(fill, letters) >= 4.5
    assert contrast(TEXT, PANEL) >= 7
    assert contrast(TEXT_MUTED, PANEL) >= 4.5
