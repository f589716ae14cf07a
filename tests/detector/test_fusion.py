"""Boxes of several networks as one list."""

from typing import Any

import numpy as np
import pytest

from cxr_contracts import MOST_BOXES
from cxr_detector.fused import select_boxes
from cxr_detector.fusion import fuse, overlap
from cxr_detector.postprocessing import Detections

Row = tuple[int, float, list[float]]
BOX = [10.0, 10.0, 50.0, 50.0]


def found(*rows: Row) -> Detections:
    """What a network found: class, score, box; best first."""
    return Detections(
        np.array([row[0] for row in rows], dtype=np.intp),
        np.array([row[1] for row in rows], dtype=np.float32),
        np.array([row[2] for row in rows], dtype=np.float32).reshape(-1, 4),
        np.ones(len(rows), dtype=np.bool_),
    )


def rows_of(detections: Detections) -> list[Any]:
    return list(
        zip(
            detections.labels.tolist(),
            detections.scores.round(6).tolist(),
            detections.boxes.round(4).tolist(),
            strict=True,
        )
    )


def test_a_box_of_both_is_their_mean_by_score_and_scores_their_mean() -> None:
    shifted = [14.0, 10.0, 54.0, 50.0]
    one = fuse([found((3, 0.6, BOX)), found((3, 0.2, shifted))], iou=0.5)
    assert rows_of(one) == [(3, pytest.approx(0.4), pytest.approx([11.0, 10.0, 51.0, 50.0]))]
    assert not one.above_threshold.any()


def test_a_network_without_the_box_counts_as_zero() -> None:
    one = fuse([found((3, 0.6, BOX)), found(), found()], iou=0.5)
    assert rows_of(one) == [(3, pytest.approx(0.2), BOX)]


def test_two_boxes_of_one_network_stay_two() -> None:
    near = [12.0, 10.0, 52.0, 50.0]
    one = fuse([found((3, 0.6, BOX), (3, 0.4, near)), found((3, 0.5, BOX))], iou=0.5)
    assert [score for _, score, _ in rows_of(one)] == pytest.approx([0.55, 0.2])


def test_boxes_of_other_classes_and_boxes_that_overlap_too_little_stay_apart() -> None:
    third = [30.0, 10.0, 70.0, 50.0]  # a third of the union is shared
    one = fuse([found((3, 0.6, BOX)), found((4, 0.5, BOX), (3, 0.4, third))], iou=0.5)
    assert [label for label, _, _ in rows_of(one)] == [3, 4, 3]


def test_a_box_joins_the_group_that_it_overlaps_most() -> None:
    right = [20.0, 10.0, 60.0, 50.0]
    nearer_right = [17.0, 10.0, 57.0, 50.0]
    one = fuse([found((0, 0.9, BOX), (0, 0.8, right)), found((0, 0.4, nearer_right))], iou=0.3)
    assert [score for _, score, _ in rows_of(one)] == pytest.approx([0.6, 0.45])


def test_a_group_is_met_by_its_mean_and_not_by_its_first_box() -> None:
    pulled, far = [20.0, 10.0, 60.0, 50.0], [24.0, 10.0, 64.0, 50.0]
    # With the first box `far` shares less than half of the union, with the mean more.
    assert overlap(BOX, far) < 0.5
    one = fuse([found((0, 0.6, BOX)), found((0, 0.6, pulled)), found((0, 0.3, far))], iou=0.5)
    assert len(one.scores) == 1


def test_one_network_alone_answers_as_it_did() -> None:
    alone = found((1, 0.9, BOX), (2, 0.7, [0.0, 0.0, 5.0, 5.0]), (1, 0.1, [60.0, 60.0, 70.0, 90.0]))
    assert rows_of(fuse([alone], iou=0.5)) == rows_of(alone)


def test_the_order_of_the_networks_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    detections = []
    for _ in range(3):
        low = generator.uniform(0, 80, (40, 2))
        boxes = np.concatenate([low, low + generator.uniform(5, 40, (40, 2))], axis=1)
        scores = np.sort(generator.uniform(0, 1, 40))[::-1]
        labels = generator.integers(0, 3, 40)
        detections.append(found(*zip(labels, scores, boxes.tolist(), strict=True)))
    forth, back = fuse(detections, iou=0.5), fuse(detections[::-1], iou=0.5)
    assert len(forth.scores) < 120
    assert (np.diff(forth.scores) <= 0).all()
    np.testing.assert_allclose(forth.scores, back.scores, atol=1e-6)
    np.testing.assert_allclose(forth.boxes, back.boxes, atol=1e-3)


def test_a_box_without_a_score_is_none() -> None:
    assert rows_of(fuse([found((0, 0.0, BOX)), found((0, 0.4, BOX), (1, 0.0, BOX))], iou=0.5)) == [
        (0, pytest.approx(0.2), BOX)
    ]


def test_nothing_found_is_nothing() -> None:
    nothing = fuse([found(), found()], iou=0.5)
    assert nothing.boxes.shape == (0, 4)
    assert len(select_boxes(nothing, np.array([0.5], np.float32), max_boxes=3).scores) == 0


THRESHOLDS = np.array([0.5, 0.2], dtype=np.float32)
MIXED = found((0, 0.9, BOX), (0, 0.4, BOX), (1, 0.3, BOX), (1, 0.25, BOX), (1, 0.1, BOX))


def test_above_threshold_is_what_reaches_the_threshold_of_its_class_up_to_the_limit() -> None:
    above = select_boxes(MIXED, THRESHOLDS, max_boxes=2)
    assert above.scores.tolist() == pytest.approx([0.9, 0.3])
    assert above.above_threshold.all()


def test_below_the_thresholds_comes_what_is_asked_for() -> None:
    asked = select_boxes(MIXED, THRESHOLDS, max_boxes=2, min_score=0.2)
    assert asked.scores.tolist() == pytest.approx([0.9, 0.4, 0.3, 0.25])
    assert asked.above_threshold.tolist() == [True, False, True, False]


def test_a_crowd_of_weak_boxes_pushes_out_nothing_above_threshold() -> None:
    crowd = [(0, 0.45, BOX)] * (MOST_BOXES + 50)
    asked = select_boxes(found(*crowd, (1, 0.3, BOX)), THRESHOLDS, max_boxes=2, min_score=0.2)
    assert len(asked.scores) == MOST_BOXES
    assert asked.above_threshold.sum() == 1
    assert asked.labels[asked.above_threshold].tolist() == [1]
