"""Average precision, FROC and figures at thresholds on cases small enough to count by hand."""

import numpy as np
import pytest

from cxr_detector.network import prepare_ultralytics
from cxr_training.metrics.detection import (
    IOU_THRESHOLDS,
    Matches,
    at_thresholds,
    average_precision,
    froc_curve,
    froc_sensitivity,
    iou_matrix,
    match,
)


def matches_of(rows: list[tuple[int, int, float, bool]], truth: list[list[int]]) -> Matches:
    """Rows (image, label, score, hit at every IoU)."""
    rows = sorted(rows, key=lambda row: -row[2])
    image, label, score, hit = (np.array(column) for column in zip(*rows, strict=True))
    return Matches(
        image=image,
        label=label,
        score=score.astype(float),
        hit=np.repeat(hit[:, None].astype(bool), len(IOU_THRESHOLDS), axis=1),
        truth=np.array(truth),
    )


def random_matches(seed: int, n_images: int = 30, n_labels: int = 3) -> Matches:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, (n_images, n_labels))
    rows = []
    for image in range(n_images):
        for label in range(n_labels):
            left = int(truth[image, label])
            for _ in range(generator.integers(0, 8)):
                hit = bool(left and generator.random() < 0.4)
                left -= hit
                score = generator.beta(3, 2) if hit else generator.beta(2, 3)
                rows.append((image, label, float(score), hit))
    return matches_of(rows, truth.tolist())


ONE = np.ones((1, 2))


def test_a_perfect_detector_has_average_precision_one() -> None:
    matches = matches_of([(0, 0, 0.9, True), (1, 0, 0.8, True)], [[1], [1]])
    assert average_precision(matches, 0, ONE, (0,))[0] == pytest.approx(1.0, abs=0.01)


def test_a_false_box_before_the_right_one_halves_the_precision() -> None:
    matches = matches_of([(0, 0, 0.9, False), (1, 0, 0.8, True)], [[0], [1]])
    assert average_precision(matches, 0, ONE, (0,))[0] == pytest.approx(0.5, abs=0.01)


def test_finding_nothing_is_zero_and_a_class_without_boxes_is_undefined() -> None:
    matches = matches_of([(0, 0, 0.9, False)], [[1, 0], [0, 0]])
    assert average_precision(matches, 0, ONE, (0,))[0] == 0.0
    assert np.isnan(average_precision(matches, 1, ONE, (0,))[0])


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_ultralytics(seed: int) -> None:
    prepare_ultralytics()
    from ultralytics.utils.metrics import ap_per_class

    matches = random_matches(seed)
    target = np.repeat(np.arange(3), matches.truth.sum(axis=0))
    expected = ap_per_class(matches.hit[:, :1], matches.score, matches.label, target)[5][:, 0]
    weights = np.ones((1, len(matches.truth)))
    ours = [average_precision(matches, label, weights, (0,))[0] for label in range(3)]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_weight_of_two_counts_an_image_twice() -> None:
    matches = random_matches(7, n_images=6)
    weights = np.array([[2.0, 1, 0, 1, 3, 1]])
    copies = np.repeat(np.arange(6), weights[0].astype(int))
    rows = [
        (new, int(label), float(score), bool(hit[0]))
        for new, old in enumerate(copies)
        for label, score, hit in zip(
            matches.label[matches.image == old],
            matches.score[matches.image == old],
            matches.hit[matches.image == old],
            strict=True,
        )
    ]
    repeated = matches_of(rows, matches.truth[copies].tolist())
    plain = np.ones((1, len(copies)))
    for label in range(3):
        weighted = average_precision(matches, label, weights, (0,))[0]
        # Equal scores of the copies may swap places, which moves the curve by a hair.
        assert weighted == pytest.approx(
            average_precision(repeated, label, plain, (0,))[0], abs=0.02
        )
    assert froc_sensitivity(matches, weights, 0.5) == pytest.approx(
        froc_sensitivity(repeated, plain, 0.5), abs=0.05
    )


def test_sensitivity_is_read_where_the_false_boxes_are_used_up() -> None:
    matches = matches_of(
        [(0, 0, 0.9, True), (0, 0, 0.8, False), (1, 0, 0.7, True), (1, 0, 0.6, False)],
        [[2], [2]],
    )
    assert froc_sensitivity(matches, ONE, 0.25)[0] == pytest.approx(0.25)
    assert froc_sensitivity(matches, ONE, 0.5)[0] == pytest.approx(0.5)


def test_boxes_above_their_thresholds_are_counted_right_or_false() -> None:
    matches = matches_of(
        [(0, 0, 0.9, True), (0, 1, 0.3, False), (1, 0, 0.4, False), (1, 1, 0.2, True)],
        [[1, 0], [2, 1]],
    )
    figures = at_thresholds(matches, np.array([0.4, 0.25]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_allclose(figures["sensitivity"], [1 / 4, 0])
    np.testing.assert_allclose(figures["precision"], [1 / 3, 0])
    np.testing.assert_allclose(figures["false_boxes"], [1, 1])


def test_the_better_scored_box_takes_the_truth_and_the_other_is_false() -> None:
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10]], np.float32)
    hit = match(boxes, np.array([0, 0]), boxes[1:], np.array([0]))
    assert hit[:, 0].tolist() == [True, False]
    # At an IoU above 0.9 only the exact box is right.
    assert hit[:, -1].tolist() == [False, True]


def test_a_box_of_another_class_hits_nothing() -> None:
    box = np.array([[0, 0, 10, 10]], np.float32)
    assert not match(box, np.array([1]), box, np.array([0])).any()
    assert not match(box, np.array([1]), box[:0], np.array([], int)).any()


def test_overlap_of_a_quarter() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    other = np.array([[5, 5, 15, 15], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(iou_matrix(one, other), [[25 / 175, 0]])


def test_the_froc_curve_rises_to_the_boxes_that_are_found() -> None:
    rows = [(0, 0, 0.9, True), (1, 0, 0.8, False), (0, 0, 0.7, False), (1, 0, 0.6, True)]
    matches = matches_of(rows, [[2], [2]])
    # One false box on two images is 0.5 an image; the second hit comes after two.
    np.testing.assert_allclose(
        froc_curve(matches, np.array([0.3, 0.9, 1.1])), [1 / 4, 1 / 4, 1 / 2]
    )
