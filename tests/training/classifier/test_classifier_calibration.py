import numpy as np
import pytest
from pydantic import ValidationError

from cxr_training.classifier.calibration import (
    FALLBACK,
    choose_threshold,
    cross_fitted,
    fit_label,
    fit_platt,
    patient_folds,
    threshold_draws,
    threshold_method,
)
from cxr_training.classifier.config import YOUDEN, Evaluation, evaluation_of


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


def test_the_youden_threshold_has_the_largest_sensitivity_plus_specificity() -> None:
    targets, logits = _sample(3000, slope=1.0, intercept=0.0)
    scores = 1 / (1 + np.exp(-logits))
    threshold, rule = choose_threshold(targets, scores, min_positives=10)

    def youden(at: float) -> float:
        positive = scores >= at
        return float(positive[targets == 1].mean() + (~positive)[targets == 0].mean())

    assert rule == YOUDEN
    assert youden(threshold) == pytest.approx(max(youden(score) for score in scores))


def test_too_few_positives_fall_back_to_a_fixed_specificity() -> None:
    scores = np.linspace(0, 1, 201)
    targets = np.zeros(201)
    targets[150] = 1
    threshold, rule = choose_threshold(targets, scores, min_positives=10)
    assert rule == FALLBACK
    assert (scores[targets == 0] < threshold).mean() == pytest.approx(0.95, abs=0.01)


def test_folds_keep_a_patients_images_together() -> None:
    patients = [f"{number // 4}" for number in range(200)]
    fold = patient_folds(patients, 5, seed=0)
    assert (fold.reshape(-1, 4) == fold.reshape(-1, 4)[:, :1]).all()
    assert np.bincount(fold).tolist() == [40] * 5


def test_an_images_cross_fitted_probability_does_not_depend_on_its_own_label() -> None:
    targets, logits = _sample(400, slope=1.0, intercept=0.0)
    fold = patient_folds([str(number) for number in range(400)], 4, seed=0)
    before, _ = cross_fitted(targets, logits, fold, 10)
    inside = fold == 2
    changed = np.where(inside, 1 - targets, targets)
    after, _ = cross_fitted(changed, logits, fold, 10)
    np.testing.assert_array_equal(after[inside], before[inside])
    assert (after[~inside] != before[~inside]).all()


def test_a_label_carries_its_calibration_and_its_rule() -> None:
    targets, logits = _sample(1000, slope=1.0, intercept=0.0)
    label = fit_label("Mass", targets, logits, 10)
    assert label.name == "Mass"
    assert label.threshold_rule == YOUDEN
    assert 0 < label.threshold < 1


@pytest.mark.parametrize("stated", [0.5, 0.9, 1.0])
def test_a_stated_sensitivity_is_reached_by_the_highest_threshold_that_does(stated: float) -> None:
    targets, logits = _sample(3000, slope=1.0, intercept=0.0)
    threshold, rule = choose_threshold(targets, logits, 10, stated)
    ill = logits[targets == 1]
    assert rule == f"sensitivity {stated}"
    assert (ill >= threshold).mean() >= stated
    assert (ill >= np.nextafter(threshold, np.inf)).mean() < stated


def test_a_stated_sensitivity_needs_positives_too() -> None:
    targets, logits = np.zeros(300), np.linspace(-3, 3, 300)
    targets[-5:] = 1
    assert choose_threshold(targets, logits, 10, 0.9)[1] == FALLBACK


def test_the_threshold_of_a_resample_is_that_of_its_images() -> None:
    targets, logits = _sample(400, slope=1.0, intercept=0.0)
    weights = np.random.default_rng(2).multinomial(400, np.full(400, 1 / 400), size=50)
    for stated, rule in ((None, YOUDEN), (0.8, "sensitivity 0.8")):
        draws = threshold_draws(targets, logits, weights, rule, stated)
        for line in (0, 33, 49):
            drawn = np.repeat(np.arange(400), weights[line])
            expected, _ = choose_threshold(targets[drawn], logits[drawn], 10, stated)
            assert draws[line] == pytest.approx(expected)


def test_a_resample_without_a_positive_chooses_no_threshold() -> None:
    targets, logits = np.array([0.0, 1.0, 0.0]), np.array([-1.0, 0.0, 1.0])
    weights = np.array([[1, 0, 2], [1, 1, 1]])
    draws = threshold_draws(targets, logits, weights, YOUDEN)
    assert np.isnan(draws).tolist() == [True, False]


def _evaluation(**more: object) -> Evaluation:
    return Evaluation.model_validate(
        {"resamples": 10, "calibration_folds": 2, "min_positives": 5, **more}
    )


def test_youdens_point_is_the_default() -> None:
    assert _evaluation().operating_point == YOUDEN
    assert _evaluation().stated_sensitivity is None
    assert "(Youden)" in threshold_method(_evaluation().operating_point)


def test_a_stated_sensitivity_stands_in_the_method() -> None:
    stated = _evaluation(operating_point={"sensitivity": 0.9})
    assert stated.stated_sensitivity == 0.9
    assert "at least 0.9" in threshold_method(stated.operating_point)


def test_keys_of_a_published_recipe_that_were_retired_since_are_passed_over() -> None:
    published = _evaluation().model_dump() | {"mirrored": False, "usual_map": True}
    assert evaluation_of({"evaluation": published}) == _evaluation()


@pytest.mark.parametrize("point", ["best", {"sensitivity": 1.2}, {"specificity": 0.9}])
def test_an_operating_point_that_cannot_be_is_refused(point: object) -> None:
    with pytest.raises(ValidationError):
        _evaluation(operating_point=point)
