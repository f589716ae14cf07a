"""The published gate on real files: the public chest radiograph, and everything that is none."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr_gateway.ood import Gate, load_ood_detector
from cxr_training.gate.medical import CHEST_FILE, MEDICAL_FILES, read_medical
from cxr_training.gate.photographs import JUDGING_FILES, read_photograph

Picture = NDArray[np.uint8]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gate() -> Gate:
    return load_ood_detector(ROOT / "models/ood/ood-cxr")


@pytest.fixture(scope="module")
def chest() -> Picture:
    return read_medical(CHEST_FILE)[0]


def test_the_public_chest_radiograph_is_accepted_without_a_reason(
    gate: Gate, chest: Picture
) -> None:
    score = gate.check(chest)
    assert score.accepted
    assert score.threshold <= score.score <= 1
    assert score.reason is None


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_it_is_accepted_at_any_size(gate: Gate, chest: Picture, size: int) -> None:
    from PIL import Image

    small = np.asarray(Image.fromarray(chest).resize((size, size)))
    assert gate.check(small).accepted


def test_it_is_accepted_mirrored_cut_bordered_and_in_another_window(
    gate: Gate, chest: Picture
) -> None:
    height, width = chest.shape
    bordered = np.pad(chest, ((0, 0), (120, 120)))
    dark = np.rint(255 * (chest / 255.0) ** 1.5).astype(np.uint8)
    variants = {
        "mirrored": chest[:, ::-1],
        "cut": chest[height // 15 : -height // 15, width // 15 : -width // 15],
        "bordered": bordered,
        "darker": dark,
        "half the contrast": chest // 2 + 60,
    }
    assert {name for name, picture in variants.items() if not gate.check(picture).accepted} == set()


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (lambda p: 255 - p, "It looks like an inverted radiograph"),
        (lambda p: np.rot90(p, 1), "turned by 90 degrees to the left"),
        (lambda p: np.rot90(p, 3), "turned by 90 degrees to the right"),
        (lambda p: np.rot90(p, 2), "stands upside down"),
        (lambda p: p[::-1], "stands upside down"),
    ],
    ids=["inverted", "turned left", "turned right", "turned over", "flipped"],
)
def test_it_is_refused_where_it_stands_wrong_and_the_reason_says_how(
    gate: Gate, chest: Picture, spoil: object, hint: str
) -> None:
    assert callable(spoil)
    score = gate.check(spoil(chest))
    assert not score.accepted
    assert score.reason is not None
    assert "does not look like a frontal chest radiograph (score 0." in score.reason
    assert hint in score.reason


@pytest.mark.parametrize("name", [name for names in MEDICAL_FILES.values() for name in names])
def test_other_medical_pictures_are_refused(gate: Gate, name: str) -> None:
    assert [gate.check(picture).accepted for picture in read_medical(name)].count(True) == 0


@pytest.mark.parametrize(("package", "path"), JUDGING_FILES)
def test_photographs_are_refused(gate: Gate, package: str, path: str) -> None:
    assert not gate.check(read_photograph(package, path)).accepted


@pytest.mark.parametrize("deviation", [5, 40, 100])
def test_noise_is_refused_at_any_strength_and_size(gate: Gate, deviation: float) -> None:
    rng = np.random.default_rng(1)
    for size in (64, 300, 1500):
        noise = np.clip(rng.normal(128, deviation, (size, size)), 0, 255).astype(np.uint8)
        assert not gate.check(noise).accepted


def test_threads_share_one_gate_and_get_the_answers_of_one(gate: Gate, chest: Picture) -> None:
    pictures = [chest, 255 - chest, chest[:, ::-1], np.rot90(chest)] * 8
    alone = [gate.check(picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(gate.check, pictures))
    assert together == alone
