"""Who is warned of for the image's quality, and what it is worth, in one page."""

import re
from pathlib import Path

import numpy as np
import pytest

from cxr_contracts import Finding
from cxr_gateway.imaging.quality import KINDS, measure_quality
from cxr_training.data.radiographs import Radiograph
from cxr_training.monitoring import quality
from support.images import example_image

FINDINGS = ("no-finding", "mass", "effusion", "cardiomegaly")
SIDES = (512, 128, 64)


@pytest.fixture
def found(tmp_path: Path) -> list[quality.Measured]:
    """Each example at three sizes; the classifier is right about all of them."""
    measured = []
    for number, of in enumerate(FINDINGS):
        findings = frozenset() if of == "no-finding" else frozenset({Finding(of.capitalize())})
        logits = np.array([1.0 if finding in findings else -1.0 for finding in Finding])
        for side in SIDES:
            grey = quality.brought_to(example_image(of), side)
            name = f"{number:08}_{side}.png"
            image = Radiograph(name, tmp_path / name, f"{number:08}", findings, 50, "F", "PA")
            measured.append(quality.Measured(image, side, measure_quality(grey), logits))
    return measured


def test_thumbnails_are_warned_of_and_ordinary_images_are_not(
    found: list[quality.Measured],
) -> None:
    shares = {(one.size, one.kind): one.share for one in quality.rates(found)}
    assert shares["large", "any"] == 0.0
    assert shares["128 px", "detail"] < 1.0  # made by a generator, these are smooth
    assert shares["64 px", "detail"] == 1.0


def test_the_page_has_rates_aurocs_and_what_spoiling_does(
    found: list[quality.Measured], tmp_path: Path
) -> None:
    spoilt = quality.sensitivities([example_image("no-finding")])
    assert {name: share for name, _, share, _ in spoilt}["turned by 90 degrees"] == 1.0
    quality.write_results(found, spoilt, [], tmp_path / "out")
    page = (tmp_path / "out/README.md").read_text()
    assert re.search(r"\| detail \| 0\.0% \| \S+ \| 100\.0% \|", page)
    assert "| large | all | 4 | 1.000 |" in page
    rows = (tmp_path / "out/rates.csv").read_text().splitlines()
    assert rows[0] == "size,n,kind,share"
    assert len(rows) == 1 + 3 * (len(KINDS) + 1)
