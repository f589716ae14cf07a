"""Copies of training images are found; new images of the same kind are not taken for copies."""

import numpy as np
import pytest

from cxr_contracts import Interval
from cxr_gan.evaluation.distances import nearest
from cxr_gan.evaluation.features import Features
from cxr_gan.evaluation.memorisation import (
    NEARER,
    RATIO,
    STANDING_OUT,
    TO_TRAINING,
    memorisation,
    small_pixels,
)
from cxr_gan.generator import Images
from cxr_training.metrics.bootstrap import patient_weights

RNG = np.random.default_rng(3)


def people(n: int) -> Features:
    return RNG.normal(size=(n, 12)).astype(np.float32)


TRAINING, HELD_OUT = people(1200), people(300)


def draws(n: int) -> np.ndarray:
    return patient_weights([str(row) for row in range(n)], 100, 0)


def measured(samples: Features) -> dict[str, Interval]:
    return memorisation(samples, TRAINING, HELD_OUT, draws(300), draws(300))


def test_new_images_of_the_same_kind_are_no_copies() -> None:
    found = measured(people(300))
    assert found[RATIO].low < 1 < found[RATIO].high
    assert found[NEARER].low <= 0.01
    assert found[STANDING_OUT].low <= 0.01
    assert found[TO_TRAINING].low < 0.5 < found[TO_TRAINING].high


def test_planted_copies_of_training_images_are_found() -> None:
    samples = people(300)
    samples[:30] = TRAINING[40:70] + RNG.normal(scale=0.02, size=(30, 12))
    found = measured(samples)
    for figure in (NEARER, STANDING_OUT):
        assert found[figure].low > 0.05
        assert found[figure].value == pytest.approx(0.11, abs=0.03)


def test_a_generator_that_only_copies_is_nearest_to_training_images() -> None:
    copied = TRAINING[RNG.permutation(len(TRAINING))[:300]]
    found = measured(copied + RNG.normal(scale=0.05, size=(300, 12)).astype("f4"))
    assert found[STANDING_OUT].value > 0.95
    # A part of the training images is taken at a time: a copy is near one part of four.
    assert found[TO_TRAINING].low > 0.5


def test_blurred_images_are_near_to_everything_and_stand_out_from_nothing() -> None:
    found = measured(0.3 * people(300))
    assert found[NEARER].value > 0.05
    assert found[STANDING_OUT].low <= 0.01
    assert found[TO_TRAINING].low < 0.5 < found[TO_TRAINING].high


def test_a_lighter_copy_is_a_copy_in_pixels() -> None:
    images: Images = RNG.integers(0, 120, (20, 64, 64)).astype(np.uint8)
    lighter = (images * 1.5 + 30).astype(np.uint8)
    near = nearest(small_pixels(lighter), small_pixels(images), 1)
    others = nearest(small_pixels(images[:10]), small_pixels(images[10:]), 1)
    assert near.max() < 0.1 * others.min()
