import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from cxr_training.metrics.bootstrap import bootstrap_interval, patient_weights
from cxr_training.metrics.classification import (
    auroc,
    aurocs,
    expected_calibration_error,
    expected_calibration_errors,
    roc_points,
    weighted_roc,
)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 60), levels=st.integers(2, 30))
def test_auroc_equals_that_of_scikit_learn_with_ties_and_weights(
    seed: int, n: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, n)
    targets[:2] = 0, 1
    scores = rng.integers(0, levels, n) / levels
    weights = rng.integers(1, 5, n)
    expected = roc_auc_score(targets, scores, sample_weight=weights)
    assert auroc(targets, scores, weights) == pytest.approx(expected, abs=1e-12)


def test_an_image_counted_thrice_weighs_as_three_images() -> None:
    targets, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.7])
    weights = np.array([[1, 3, 2, 0], [1, 1, 1, 1]])
    repeated = np.repeat(np.arange(4), weights[0])
    assert aurocs(targets, scores, weights)[0] == auroc(targets[repeated], scores[repeated])


def test_auroc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(auroc([1, 1], [0.2, 0.3]))
    assert np.isnan(auroc([], []))


def test_resamples_draw_patients_with_all_their_images() -> None:
    patients = ["a", "b", "b", "b", "c"]
    weights = patient_weights(patients, 200, seed=0)
    assert (weights[:, 1:3] == weights[:, 3:4]).all()
    # As many patients as there are, so a + b + c = 3 in every resample.
    assert (weights[:, [0, 1, 4]].sum(axis=1) == 3).all()
    assert len(np.unique(weights[:, 0])) > 1


def test_the_interval_of_a_mean_is_wider_for_few_patients_than_for_many() -> None:
    rng = np.random.default_rng(0)
    values = np.repeat(rng.normal(size=40), 10)

    def mean(weights: np.ndarray) -> float:
        return float(np.average(values, weights=weights))

    each = [str(i) for i in range(400)]
    tens = [str(i // 10) for i in range(400)]
    narrow = bootstrap_interval(mean, each, resamples=400, seed=1)
    wide = bootstrap_interval(mean, tens, resamples=400, seed=1)
    assert narrow is not None
    assert wide is not None
    assert narrow.low < narrow.value < narrow.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    # The known standard error of a mean of 40 independent values.
    expected_width = 2 * 1.96 * values.std() / np.sqrt(40)
    assert wide.high - wide.low == pytest.approx(expected_width, rel=0.2)


def test_a_figure_that_is_not_defined_has_no_interval() -> None:
    assert bootstrap_interval(lambda _: float("nan"), ["a"], resamples=5, seed=0) is None


def test_the_calibration_error_is_the_gap_between_probability_and_frequency() -> None:
    targets = np.tile([0.0, 0.0, 0.0, 1.0], 500)
    assert expected_calibration_error(targets, np.full(2000, 0.25), bins=10) < 0.02
    assert expected_calibration_error(targets, np.full(2000, 0.65), bins=10) == pytest.approx(
        0.4, abs=0.01
    )


def test_many_calibration_errors_at_once_are_those_of_one_sample_at_a_time() -> None:
    rng = np.random.default_rng(4)
    targets, probabilities = rng.integers(0, 2, 300).astype(float), rng.random(300)
    weights = rng.multinomial(300, np.full(300, 1 / 300), size=70)
    weights[5] = 0
    together = expected_calibration_errors(targets, probabilities, weights)
    assert np.isnan(together[5])
    order = np.argsort(probabilities)
    for line in (0, 40, 69):
        # Ten bins of thirty images each, drawn ones as often as they were drawn.
        drawn = np.repeat(order, weights[line][order])
        first = np.cumsum(weights[line][order])
        bins = np.repeat(
            np.minimum((first / 300 * 10 * (1 - 1e-12)).astype(int), 9), weights[line][order]
        )
        gaps = [abs((probabilities - targets)[drawn[bins == b]].sum()) for b in range(10)]
        assert together[line] == pytest.approx(sum(gaps) / 300)
        alone = expected_calibration_error(targets, probabilities, weights[line])
        assert together[line] == pytest.approx(alone)


def test_weighted_roc_curves_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(6)
    targets, scores = rng.integers(0, 2, 80), rng.integers(0, 15, 80) / 15
    weights = rng.integers(1, 4, (3, 80))
    roc = weighted_roc(targets, scores, weights)
    for line in range(3):
        false_rate, true_rate, _ = roc_curve(
            targets, scores, sample_weight=weights[line], drop_intermediate=False
        )
        np.testing.assert_allclose(roc.sensitivity[line], true_rate[1:][::-1])
        np.testing.assert_allclose(1 - roc.specificity[line], false_rate[1:][::-1])
    assert roc.occurs.all()
    without = weights * (scores != roc.thresholds[4])
    assert weighted_roc(targets, scores, without).occurs.sum(axis=1).tolist() == [14, 14, 14]


def test_roc_points_equal_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    targets, scores = rng.integers(0, 2, 100), rng.integers(0, 20, 100) / 20
    thresholds, sensitivity, specificity = roc_points(targets, scores)
    false_rate, true_rate, theirs = roc_curve(targets, scores, drop_intermediate=False)
    np.testing.assert_allclose(thresholds, theirs[1:][::-1])
    np.testing.assert_allclose(sensitivity, true_rate[1:][::-1])
    np.testing.assert_allclose(1 - specificity, false_rate[1:][::-1])
