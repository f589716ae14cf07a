from pathlib import Path

import numpy as np
import pytest

from cxr_training.classifier.config import Augmentation, ClassifierConfig, load_config
from cxr_training.classifier.loading import augmented, coarsened, vary_resolution
from cxr_training.classifier.supervision import UNMOVED
from cxr_training.core.errors import ConfigError

CONFIG = Path(__file__).parents[3] / "training/configs/classifier.yaml"


@pytest.fixture(scope="module")
def config() -> ClassifierConfig:
    return load_config(CONFIG)


def _sharpness(image: np.ndarray) -> float:
    return float(np.diff(image.astype(float), axis=1).std())


def _noise(side_px: int = 128) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side_px, side_px), dtype=np.uint8)


def test_sharpness_spans_from_the_coarsest_source_to_the_image_itself(
    config: ClassifierConfig,
) -> None:
    image, variation = _noise(), config.augmentation
    rng = np.random.default_rng(1)
    found = [_sharpness(vary_resolution(image, variation, rng)) for _ in range(200)]
    coarsest = _sharpness(coarsened(image, 64))
    assert np.mean(np.array(found) == _sharpness(image)) > 0.1
    # A good share is as coarse as an image of the smallest source size, by one filter or another.
    assert np.mean(np.array(found) <= coarsest * 2) > 0.75 * variation.coarsest_share
    between = (np.array(found) > coarsest * 2) & (np.array(found) < _sharpness(image) * 0.9)
    assert np.mean(between) > 0.375 * variation.coarser_share


def test_an_image_coarsened_is_what_serving_sees_of_a_small_file(config: ClassifierConfig) -> None:
    from PIL import Image

    from cxr_classifier.preprocessing import to_canonical

    image = _noise()
    small = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(coarsened(image, 64), to_canonical(small, 128))
    np.testing.assert_array_equal(coarsened(image, 200), image)


def test_the_same_random_numbers_give_the_same_image_and_others_another(
    config: ClassifierConfig,
) -> None:
    image = _noise()
    first, same, other = (
        augmented(image, config.augmentation, np.random.default_rng(seed))[0] for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert (first != other).any()


def test_without_variations_the_image_is_left_as_it_is(config: ClassifierConfig) -> None:
    still = {name: 0.0 for name in Augmentation.model_fields if name != "coarsest_px"}
    none = Augmentation.model_validate({"coarsest_px": 64, **still})
    same, moved = augmented(_noise(), none, np.random.default_rng(0))
    np.testing.assert_array_equal(same, _noise())
    assert moved == UNMOVED


def test_left_and_right_are_never_exchanged(config: ClassifierConfig) -> None:
    image = np.zeros((128, 128), dtype=np.uint8)
    image[:, 64:] = 220
    for seed in range(60):
        varied, _ = augmented(image, config.augmentation, np.random.default_rng(seed))
        result = varied.astype(float)
        assert result[40:88, 18:38].mean() < result[40:88, 90:110].mean()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("training.epochs=0", "greater than 0"),
        ("training.epoch=3", "Extra inputs"),
        ("training.epochs", "section.key=value"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(override: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_config(CONFIG, (override,))


def test_an_override_replaces_a_value_of_the_file() -> None:
    assert load_config(CONFIG, ("training.ema_decay=0.5",)).training.ema_decay == 0.5
