"""The published detector on real files: the public chest radiograph, and what is none."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from safetensors.torch import load_file

from cxr_gateway.ood import OodScore, load_ood_detector
from cxr_training.export.publishing import ONNX_NAME, WEIGHTS_NAME, read_manifest
from cxr_training.ood.data import (
    CHEST_DICOM,
    EVALUATION_PHOTOGRAPHS,
    MEDICAL_DICOM,
    GreyImage,
    read_medical,
    read_photograph,
)
from cxr_training.ood.network import OodConfig, OodNetwork

Check = Callable[[GreyImage], OodScore]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def check() -> Check:
    return load_ood_detector(ROOT / "models/ood/ood-cxr").check


@pytest.fixture(scope="module")
def chest() -> GreyImage:
    return read_medical(CHEST_DICOM)[0]


def test_the_public_chest_radiograph_is_accepted_without_a_reason(
    check: Check, chest: GreyImage
) -> None:
    score = check(chest)
    assert score.accepted
    assert score.threshold <= score.score <= 1
    assert score.reason is None


@pytest.mark.parametrize("size", [64, 128, 256, 512])
def test_it_is_accepted_at_any_size(check: Check, chest: GreyImage, size: int) -> None:
    from PIL import Image

    small = np.asarray(Image.fromarray(chest).resize((size, size)))
    assert check(small).accepted


def test_it_is_accepted_mirrored_cut_bordered_and_in_another_window(
    check: Check, chest: GreyImage
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
    assert {name for name, image in variants.items() if not check(image).accepted} == set()


@pytest.mark.parametrize(
    ("corrupt", "hint"),
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
    check: Check, chest: GreyImage, corrupt: object, hint: str
) -> None:
    assert callable(corrupt)
    score = check(corrupt(chest))
    assert not score.accepted
    assert score.reason is not None
    assert "does not look like a frontal chest radiograph (score 0." in score.reason
    assert hint in score.reason


@pytest.mark.parametrize("name", [name for names in MEDICAL_DICOM.values() for name in names])
def test_other_medical_images_are_refused(check: Check, name: str) -> None:
    assert [check(image).accepted for image in read_medical(name)].count(True) == 0


@pytest.mark.parametrize("path", EVALUATION_PHOTOGRAPHS)
def test_photographs_are_refused(check: Check, path: str) -> None:
    assert not check(read_photograph(path)).accepted


@pytest.mark.parametrize("deviation", [5, 40, 100])
def test_noise_is_refused_at_any_strength_and_size(check: Check, deviation: float) -> None:
    rng = np.random.default_rng(1)
    for size in (64, 300, 1500):
        noise = np.clip(rng.normal(128, deviation, (size, size)), 0, 255).astype(np.uint8)
        assert not check(noise).accepted


def test_threads_share_one_detector_and_get_the_answers_of_one(
    check: Check, chest: GreyImage
) -> None:
    images = [chest, 255 - chest, chest[:, ::-1], np.rot90(chest)] * 8
    alone = [check(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(check, images))
    assert together == alone


def test_the_published_weights_fill_the_network_and_agree_with_its_onnx_file() -> None:
    folder = ROOT / "models/ood/ood-cxr"
    manifest = read_manifest(folder)
    network = OodNetwork(OodConfig.model_validate(manifest.training.recipe)).eval()
    network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    side_px = manifest.input.width_px
    images = torch.rand(3, 1, side_px, side_px, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(images)[0].numpy()
    session = InferenceSession(folder / ONNX_NAME, providers=["CPUExecutionProvider"])
    (found,) = session.run(["chest_logit"], {"image": images.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-3)
