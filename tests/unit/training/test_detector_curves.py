"""Points of the curves against figures counted by hand, and where models are compared."""

import numpy as np
import pytest

from cxr_contracts import Region
from cxr_training.detector.annotations import CHESTXDET_REGIONS, NIH_BOXED_REGIONS
from cxr_training.detector.judging.curves import FALSE_BOXES, froc, precision_recall
from cxr_training.detector.judging.grounds import SHARED_REGIONS, Ground, classes_on
from cxr_training.detector.scoring import IOU_THRESHOLDS, Matches, froc_sensitivity


def drawn(hits: list[bool], boxes: int) -> Matches:
    """One class on four images; the detections from the best scored down."""
    n = len(hits)
    return Matches(
        image=np.arange(n) % 4,
        label=np.zeros(n, dtype=np.intp),
        score=np.linspace(0.9, 0.1, n),
        hit=np.repeat(np.array(hits)[:, None], len(IOU_THRESHOLDS), axis=1),
        truth=np.array([[boxes], [0], [0], [0]]),
    )


def test_precision_is_the_best_at_a_recall_or_beyond() -> None:
    recall, precision = precision_recall(drawn([True, False, True, False], boxes=4), 0)
    assert recall[-1] == pytest.approx(0.5)
    by_recall = dict(zip(recall.round(2), precision, strict=True))
    assert by_recall[0.25] == 1.0
    assert by_recall[0.26] == by_recall[0.5] == pytest.approx(2 / 3)


def test_a_class_that_is_never_found_has_no_curve() -> None:
    recall, precision = precision_recall(drawn([False, False], boxes=3), 0)
    assert len(recall) == len(precision) == 0


def test_the_froc_curve_rises_to_the_boxes_that_are_found() -> None:
    found = froc(drawn([True, False, False, True], boxes=4))
    # One false box on four images is 0.25 an image; the second hit comes after two.
    assert found[FALSE_BOXES < 0.5].max() == pytest.approx(0.25)
    assert found[FALSE_BOXES > 0.5].min() == pytest.approx(0.5)


def test_the_froc_of_many_detections_is_that_of_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    matches = drawn((rng.random(200) < 0.3).tolist(), boxes=80)
    weights = rng.integers(0, 3, (50, 4)).astype(float)
    whole = froc_sensitivity(matches, weights, 1.0)
    monkeypatch.setattr("cxr_training.detector.scoring._MOST_CELLS", 900)
    np.testing.assert_array_equal(froc_sensitivity(matches, weights, 1.0), whole)


@pytest.mark.parametrize(
    ("own", "names"),
    [
        (frozenset(Region), {"shared": 6, "all": 13}),
        (NIH_BOXED_REGIONS, {"shared": 6}),
        (frozenset({Region.MASS, Region.PNEUMONIA}), {"known": 1}),
        (frozenset({Region.PNEUMONIA}), {}),
    ],
)
def test_a_model_is_judged_over_regions_that_it_knows_all_of(
    own: frozenset[Region], names: dict[str, int]
) -> None:
    regions = tuple(region for region in Region if region in CHESTXDET_REGIONS)
    ground = Ground("chestx-det", regions, ())
    chosen = classes_on(ground, sorted(own))
    assert {name: len(of) for name, of in chosen.items()} == names
    assert all(set(of) <= own for of in chosen.values())
    assert len(SHARED_REGIONS) == 6
