"""Evidence levels: each threshold keeps the promise of its rule, on any scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cxr_training.classifier.calibration import (
    MIN_POSITIVES,
    NORMAL_SHARE,
    SENSITIVITY,
    SPECIFICITY,
    level_thresholds,
)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(MIN_POSITIVES, 60),
    st.integers(30, 300),
    st.integers(1, 3),
)
def test_each_threshold_keeps_its_promise(
    seed: int, positives: int, negatives: int, decimals: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.r_[np.ones(positives, bool), np.zeros(negatives, bool)]
    # Rounded, so that there are ties.
    scores = np.clip(rng.normal(0.3 + 0.2 * truth, 0.2), 0, 0.99).round(decimals)
    normal = ~truth & (rng.uniform(size=len(truth)) < 0.5)
    possible, possible_rule, likely, likely_rule = level_thresholds(truth, scores, normal)
    assert 0 <= possible <= likely <= 1
    assert likely_rule == f"specificity {SPECIFICITY}"
    assert (scores[~truth] < likely).mean() >= SPECIFICITY - 1e-9
    if normal.any():
        assert (scores[normal] < possible).mean() >= NORMAL_SHARE - 1e-9
    if "raised" not in possible_rule:
        assert (scores[truth] >= possible).mean() >= SENSITIVITY - 1e-9
        higher = scores[scores > possible]
        if higher.size:
            assert (scores[truth] >= higher.min()).mean() < SENSITIVITY


def test_a_finding_of_few_positives_gets_no_screening_point_of_its_own() -> None:
    truth = np.r_[np.ones(MIN_POSITIVES - 1, bool), np.zeros(100, bool)]
    scores = np.linspace(1, 0, len(truth)) * 0.9
    possible, rule, likely, _ = level_thresholds(truth, scores, ~truth)
    assert rule.endswith("of images without a finding below")
    assert (scores[~truth] < possible).mean() >= NORMAL_SHARE
    assert likely >= possible
