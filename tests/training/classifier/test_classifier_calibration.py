import numpy as np
import pytest

from cxr_training.classifier.calibration import (
    cross_fitted,
    fit_platt,
    patient_folds,
)
from cxr_training.classifier.config import Evaluation, evaluation_of


def _sample(n: int, slope: float, intercept: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 1.5, n)
    probability = 1 / (1 + np.exp(-(slope * logits + intercept)))
    return (rng.random(n) < probability).astype(float), logits


def test_a_known_miscalibration_is_found_again() -> None:
    targets, logits = _sample(50_000, slope=0.6, intercept=-0.8)
    platt = fit_platt(targets, logits)
    assert platt.slope == pytest.approx(0.6, abs=0.04)
    assert platt.intercept == pytest.approx(-0.8, abs=0.06)
    assert platt.probability(logits).mean() == pytest.approx(targets.mean(), abs=0.003)


def test_one_positive_leaves_the_networks_own_probability_nearly_alone() -> None:
    logits = np.random.default_rng(1).normal(-6, 0.5, 1000)
    targets = np.zeros(1000)
    targets[3] = 1
    platt = fit_platt(targets, logits)
    assert 0.7 < platt.slope < 1.3
    assert abs(platt.intercept) < 1


def test_calibration_never_turns_the_order_round() -> None:
    targets, logits = _sample(2000, slope=-1.0, intercept=0.0)
    assert fit_platt(targets, logits).slope > 0


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_extreme_logits_do_not_overflow(scale: float) -> None:
    targets, logits = _sample(500, slope=1.0, intercept=0.0)
    platt = fit_platt(targets, logits * scale)
    assert np.isfinite([platt.slope, platt.intercept]).all()
    assert np.isfinite(platt.probability([-1e6, 1e6])).all()


def test_folds_keep_a_patients_images_together() -> None:
    patients = [f"{number // 4}" for number in range(200)]
    fold = patient_folds(patients, 5, seed=0)
    assert (fold.reshape(-1, 4) == fold.reshape(-1, 4)[:, :1]).all()
    assert np.bincount(fold).tolist() == [40] * 5


def test_an_images_cross_fitted_probability_does_not_depend_on_its_own_label() -> None:
    targets, logits = _sample(400, slope=1.0, intercept=0.0)
    fold = patient_folds([str(number) for number in range(400)], 4, seed=0)
    normal = targets == 0
    before, _ = cross_fitted(targets, logits, normal, fold)
    inside = fold == 2
    changed = np.where(inside, 1 - targets, targets)
    after, _ = cross_fitted(changed, logits, normal, fold)
    np.testing.assert_array_equal(after[inside], before[inside])
    assert (after[~inside] != before[~inside]).all()


def _evaluation(**more: object) -> Evaluation:
    return Evaluation.model_validate(
        {"resamples": 10, "calibration_folds": 2, "min_positives": 5, **more}
    )


def test_keys_of_a_published_recipe_that_were_retired_since_are_passed_over() -> None:
    published = _evaluation().model_dump() | {"mirrored": False, "sensitivity": None}
    assert evaluation_of({"evaluation": published}) == _evaluation()
