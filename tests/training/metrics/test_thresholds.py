"""From which score on a box is shown: the best F1, where at least one in four is right."""

import numpy as np
import pytest

from cxr_training.metrics.detection import (
    IOU_THRESHOLDS,
    Matches,
    detector_thresholds,
    is_by_this_rule,
    thresholds_in_use,
)

Row = tuple[int, float, bool]


def matches_of(rows: list[Row], truth: list[int]) -> Matches:
    """Rows (label, score, hit at every IoU) of one image with `truth` boxes of each label."""
    ordered = sorted(rows, key=lambda row: -row[1])
    label, score, hit = (np.array(column) for column in zip(*ordered, strict=True))
    return Matches(
        image=np.zeros(len(ordered), dtype=np.intp),
        label=label.astype(np.intp),
        score=score.astype(float),
        hit=np.repeat(hit[:, None].astype(bool), len(IOU_THRESHOLDS), axis=1),
        truth=np.array([truth]),
    )


def found_well(label: int) -> list[Row]:
    """Twenty right boxes from 0.6 up, and forty wrong ones below 0.3."""
    right = [(label, 0.6 + i / 200, True) for i in range(20)]
    return right + [(label, 0.1 + i / 200, False) for i in range(40)]


def test_a_class_gets_the_score_that_parts_right_from_wrong() -> None:
    [threshold] = detector_thresholds(matches_of(found_well(0), [20]), 1)
    assert 0.29 <= threshold.score <= 0.6
    assert threshold.rule.endswith("on validation patients")


def test_what_the_best_f1_alone_would_show_is_not_shown_where_too_little_of_it_is_right() -> None:
    # Four right boxes at the top, then sixteen right among eighty wrong: the best F1 shows all.
    rows = [(0, 0.9 + i / 1000, True) for i in range(4)]
    rows += [(0, 0.3 + i / 1000, i % 6 == 0) for i in range(96)]
    [threshold] = detector_thresholds(matches_of(rows, [20]), 1)
    shown = [hit for _, score, hit in rows if score >= threshold.score]
    assert sum(shown) / len(shown) >= 1 / 4
    assert sum(shown) >= 4


def test_a_class_with_few_boxes_gets_the_pooled_score() -> None:
    rows = found_well(0) + [(1, 0.1 + i / 200, False) for i in range(40)]
    thresholds = detector_thresholds(matches_of(rows, [20, 3]), 2)
    assert thresholds[1].rule.endswith("all regions pooled: it has 3 boxes")
    assert 0.29 <= thresholds[1].score <= 0.6


@pytest.mark.parametrize("right", [0, 1])
def test_a_class_that_is_right_too_seldom_gets_the_pooled_score(right: int) -> None:
    rows = found_well(0) + [(1, 0.1 + i / 100, i < right) for i in range(40)]
    thresholds = detector_thresholds(matches_of(rows, [20, 30]), 2)
    assert thresholds[1].rule.endswith("all regions pooled: too few of it are right")
    assert thresholds[1].score > 0.29


def test_where_nothing_is_right_often_enough_the_highest_score_is_asked_for() -> None:
    rows: list[Row] = [(0, 0.1 + i / 100, i % 10 == 0) for i in range(80)]
    matches = matches_of(rows, [30])
    assert detector_thresholds(matches, 1)[0].score == pytest.approx(0.95)


def test_thresholds_in_use_are_chosen_alike_and_never_taken_for_those_of_annotated_images() -> None:
    matches = matches_of(found_well(0), [20])
    [plain], [in_use] = detector_thresholds(matches, 1), thresholds_in_use(matches, 1)
    assert in_use.score == plain.score
    assert is_by_this_rule(plain.rule)
    assert not is_by_this_rule(in_use.rule)
