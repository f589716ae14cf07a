"""The OOD detector's canonical image, and what it refuses before its network is asked."""

from pathlib import Path

import numpy as np
import pytest

from cxr_gateway.ood import OodDetector, canonical, load_ood_detector

PUBLISHED = Path(__file__).parents[3] / "models/ood/ood-cxr"


@pytest.fixture(scope="module")
def detector() -> OodDetector:
    return load_ood_detector(PUBLISHED)


def test_the_canonical_image_is_a_small_square_in_0_to_1() -> None:
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)[None].repeat(170, axis=0)
    image = canonical(ramp, 64)
    assert image.shape == (1, 64, 64)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.02
    assert 0.98 < image.max() <= 1
    assert np.all(np.diff(image[0], axis=1) >= 0)


def test_fine_noise_averages_out_instead_of_aliasing() -> None:
    chess = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert canonical(chess, 64).std() < 0.01


def test_a_view_with_negative_strides_is_read_in_its_own_order() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 80), dtype=np.uint8)
    assert np.array_equal(canonical(image[::-1], 64), canonical(image[::-1].copy(), 64))


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((3, 4, 5), np.uint8), np.zeros((0, 4), np.uint8), np.zeros((40, 40), np.float32)],
)
def test_what_is_no_grey_image_is_an_error_of_the_caller(
    detector: OodDetector, wrong: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W\], got"):
        detector.check(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((400, 400), np.uint8), "The image is blank"),
        (np.full((400, 400), 255, np.uint8), "The image is blank"),
        (np.eye(20, dtype=np.uint8) * 255, "too small to evaluate: 20 x 20 px"),
        (np.tile(np.arange(200, dtype=np.uint8), (40, 1)), "5.0 times as long as it is wide"),
    ],
)
def test_images_that_no_network_need_see_are_refused_with_their_reason(
    detector: OodDetector, image: np.ndarray[tuple[int, int], np.dtype[np.uint8]], reason: str
) -> None:
    score = detector.check(image)
    assert (score.accepted, score.score) == (False, 0.0)
    assert score.reason is not None
    assert reason in score.reason
