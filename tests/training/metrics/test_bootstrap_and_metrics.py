import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from cxr_contracts import Interval
from cxr_training.metrics.bootstrap import interval_or_none, patient_weights, with_resamples
from cxr_training.metrics.classification import (
    auroc,
    aurocs,
    brier_skills,
    calibration_slopes,
    expected_calibration_errors,
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

    def interval(patients: list[str]) -> Interval | None:
        lines = with_resamples(patients, 400, seed=1)
        return interval_or_none((lines @ values) / lines.sum(axis=1))

    narrow = interval([str(i) for i in range(400)])
    wide = interval([str(i // 10) for i in range(400)])
    assert narrow is not None
    assert wide is not None
    assert narrow.low < narrow.value < narrow.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    # The known standard error of a mean of 40 independent values.
    expected_width = 2 * 1.96 * values.std() / np.sqrt(40)
    assert wide.high - wide.low == pytest.approx(expected_width, rel=0.2)


def test_a_figure_that_is_not_defined_has_no_interval() -> None:
    assert interval_or_none(np.full(6, np.nan)) is None


def test_the_calibration_error_is_the_gap_between_probability_and_frequency() -> None:
    targets = np.tile([0.0, 0.0, 0.0, 1.0], 500)
    once = np.ones((1, 2000))
    assert expected_calibration_errors(targets, np.full(2000, 0.25), once)[0] < 0.02
    [far] = expected_calibration_errors(targets, np.full(2000, 0.65), once)
    assert far == pytest.approx(0.4, abs=0.01)


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


def test_brier_skill_and_calibration_slope_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 1.2, 400)
    # Probabilities that are too bold: the truth follows half of the logit.
    targets = (rng.random(400) < 1 / (1 + np.exp(-0.5 * logits))).astype(float)
    probabilities = 1 / (1 + np.exp(-logits))
    weights = np.vstack([np.ones(400), rng.integers(0, 4, (2, 400))])
    skills = brier_skills(targets, probabilities, weights)
    slopes = calibration_slopes(targets, probabilities, weights)
    for line, skill, slope in zip(weights, skills, slopes, strict=True):
        fitted = LogisticRegression(C=1e9, tol=1e-10).fit(logits[:, None], targets, line)
        assert slope == pytest.approx(float(fitted.coef_[0, 0]), abs=1e-4)
        prevalence = np.full(400, np.average(targets, weights=line))
        ours, blind = (
            brier_score_loss(targets, given, sample_weight=line)
            for given in (probabilities, prevalence)
        )
        assert skill == pytest.approx(1 - ours / blind)
    assert slopes[0] < 0.8


def test_skill_and_slope_are_undefined_where_all_images_are_alike() -> None:
    weights = np.ones((2, 5))
    given = np.linspace(0.1, 0.5, 5)
    for targets in (np.zeros(5), np.ones(5)):
        assert np.isnan(brier_skills(targets, given, weights)).all()
        assert np.isnan(calibration_slopes(targets, given, weights)).all()
    # Told apart without a mistake: no slope is steep enough.
    assert np.isnan(calibration_slopes([0, 0, 0, 1, 1], given, weights)).all()
    assert brier_skills([0, 0, 0, 1, 1], [0, 0, 0, 1, 1], weights).tolist() == [1, 1]
