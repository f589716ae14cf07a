"""How often the radiographs of rare classes are drawn."""

import numpy as np

from cxr_training.detector.sampling import repeat_factors


def test_an_image_is_drawn_as_often_as_its_rarest_class_asks() -> None:
    # Class 0 on every image, class 1 on one of sixteen; 2 and 3 are marks of what is unknown.
    labels = [np.array([0, 0, 2])] * 15 + [np.array([0, 1])]
    factors = repeat_factors(labels, 2, 0.25)
    assert factors[:15].tolist() == [1.0] * 15
    assert factors[15] == 2.0  # sqrt(0.25 / 0.0625)


def test_a_background_is_drawn_once() -> None:
    labels = [np.array([], dtype=np.intp), np.array([0])]
    assert repeat_factors(labels, 1, 1.0)[0] == 1.0


def test_without_a_rare_share_every_image_is_drawn_alike() -> None:
    labels = [np.array([0]), np.array([1]), np.array([1])]
    assert repeat_factors(labels, 2, 0.0).tolist() == [1.0, 1.0, 1.0]
