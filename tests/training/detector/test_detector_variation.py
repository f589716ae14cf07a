"""Resolution augmentation of training images."""

import numpy as np

from cxr_training.detector.dataset import vary_resolution
from support.synthetic_radiographs import NO_AUGMENTATION as OFF

NOISE = np.random.default_rng(0).integers(0, 256, (320, 320), dtype=np.uint8)


def sharpness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_everything_off_leaves_the_image_as_it_is() -> None:
    assert (vary_resolution(NOISE, OFF, np.random.default_rng(0)) == NOISE).all()


def test_softening_makes_sharp_images_as_soft_as_the_small_ones_at_random() -> None:
    config = OFF.model_copy(update={"soften": 1.0})
    generator = np.random.default_rng(0)
    values = [sharpness(vary_resolution(NOISE, config, generator)) for _ in range(60)]
    assert max(values) < sharpness(NOISE)
    assert min(values) < max(values) / 3


def test_an_image_already_at_the_smallest_side_is_not_softened() -> None:
    config = OFF.model_copy(update={"soften": 1.0})
    small = NOISE[:64, :64]
    assert (vary_resolution(small, config, np.random.default_rng(0)) == small).all()


def test_gamma_changes_the_greys_but_not_their_order_nor_their_ends() -> None:
    config = OFF.model_copy(update={"gamma": 0.3})
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    changed = vary_resolution(ramp, config, np.random.default_rng(3)).ravel().astype(int)
    assert (np.diff(changed) >= 0).all()
    assert (changed[0], changed[-1]) == (0, 255)
    assert abs(changed[128] - 128) > 2


def test_blur_and_jpeg_keep_size_and_type() -> None:
    config = OFF.model_copy(update={"blur": 1.0, "jpeg": 1.0})
    changed = vary_resolution(NOISE, config, np.random.default_rng(0))
    assert changed.shape == NOISE.shape
    assert changed.dtype == np.uint8
    assert sharpness(changed) < sharpness(NOISE)


def test_brightness_scales_the_greys_and_does_not_wrap_around() -> None:
    config = OFF.model_copy(update={"brightness": 0.3})
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    generator = np.random.default_rng(1)
    halves = [float(vary_resolution(ramp, config, generator)[8, 0]) / 128 for _ in range(40)]
    assert 0.69 < min(halves) < 0.75
    assert 1.25 < max(halves) < 1.31
    brightest = [vary_resolution(ramp, config, generator).ravel().astype(int) for _ in range(20)]
    assert all((np.diff(one) >= 0).all() for one in brightest)
