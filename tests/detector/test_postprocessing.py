import time

import numpy as np
import pytest
import torch

from cxr_contracts import Architecture, InputSpec
from cxr_detector.network import build_network, prepare_ultralytics
from cxr_detector.placement import place
from cxr_detector.postprocessing import Detections, postprocess, suppress_overlaps
from cxr_detector.preprocessing import preprocess

SPEC = InputSpec(width_px=320, height_px=320, channels=3, canonical_px=None, mean=0.0, std=1.0)
SQUARE = place(320, 320, SPEC)
N_CLASSES = 15


def crowded_predictions(seed: int, n_anchors: int = 2100) -> np.ndarray:
    """Boxes in clusters, so that suppression has work, with mostly low scores."""
    rng = np.random.default_rng(seed)
    cluster = rng.uniform(60, 260, (40, 2))[rng.integers(0, 40, n_anchors)]
    centres = cluster + rng.normal(0, 6, (n_anchors, 2))
    sizes = rng.uniform(20, 90, (n_anchors, 2))
    scores = rng.beta(0.3, 6.0, (n_anchors, N_CLASSES))
    return np.concatenate([centres, sizes, scores], axis=1).T.astype(np.float32)


def ultralytics_boxes(
    predictions: np.ndarray, conf: float, iou: float, max_boxes: int = 300
) -> np.ndarray:
    prepare_ultralytics()
    from ultralytics.utils.nms import non_max_suppression

    # max_wh shifts the classes apart; its default of 7680 costs float32 the third decimal of an
    # IoU, enough to decide some of a thousand pairs the other way.
    return non_max_suppression(
        torch.from_numpy(predictions)[None],
        conf,
        iou,
        multi_label=True,
        max_det=max_boxes,
        max_wh=1024,
    )[0].numpy()


def run(predictions: np.ndarray, conf: float, iou: float, max_boxes: int = 300) -> Detections:
    thresholds = np.full(predictions.shape[0] - 4, conf, dtype=np.float32)
    return postprocess(predictions, SQUARE, thresholds, nms_iou=iou, max_boxes=max_boxes)


def assert_equal_to_ultralytics(
    predictions: np.ndarray, conf: float, iou: float, max_boxes: int = 300
) -> int:
    expected = ultralytics_boxes(predictions, conf, iou, max_boxes)
    got = run(predictions, conf, iou, max_boxes)
    assert len(got.scores) == len(expected)
    np.testing.assert_allclose(got.scores, expected[:, 4], atol=1e-3)
    np.testing.assert_allclose(got.boxes, expected[:, :4].clip(0, 320), atol=0.5)
    assert (got.labels == expected[:, 5]).all()
    return len(expected)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("conf", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("iou", [0.3, 0.45, 0.7])
def test_random_predictions_give_the_boxes_of_ultralytics(
    seed: int, conf: float, iou: float
) -> None:
    assert assert_equal_to_ultralytics(crowded_predictions(seed), conf, iou) > 5


def test_the_best_are_kept_when_there_are_too_many() -> None:
    assert assert_equal_to_ultralytics(crowded_predictions(3), 0.05, 0.7, max_boxes=20) == 20


def test_a_networks_own_predictions_give_the_boxes_of_ultralytics() -> None:
    torch.manual_seed(0)
    architecture = Architecture(library="ultralytics", name="yolov5n", arguments={})
    network = build_network(architecture, N_CLASSES)
    image = np.random.default_rng(1).integers(0, 256, (384, 300), dtype=np.uint8)
    tensor, _ = preprocess(image, SPEC)
    with torch.no_grad():
        predictions = network(torch.from_numpy(tensor)[None])[0].numpy()
    # An untrained head scores every anchor near its prior; spread the scores over 0..1 by rank.
    ranks = predictions[4:].ravel().argsort(kind="stable").argsort(kind="stable")
    predictions[4:] = ((ranks + 0.5) / ranks.size).reshape(N_CLASSES, -1)
    assert assert_equal_to_ultralytics(predictions, 0.99, 0.6) > 5


def test_each_class_has_its_own_threshold() -> None:
    predictions = np.zeros((4 + 2, 2), dtype=np.float32)
    predictions[:4] = [[100, 200], [100, 200], [40, 40], [40, 40]]
    predictions[4:] = [[0.4, 0.0], [0.4, 0.6]]
    thresholds = np.array([0.3, 0.5], dtype=np.float32)
    got = postprocess(predictions, SQUARE, thresholds, nms_iou=0.5, max_boxes=10)
    assert got.labels.tolist() == [1, 0]
    np.testing.assert_allclose(got.scores, [0.6, 0.4])


def test_a_score_at_the_threshold_is_enough() -> None:
    predictions = np.array([[10], [10], [4], [4], [0.25]], dtype=np.float32)
    got = postprocess(predictions, SQUARE, np.array([0.25], np.float32), nms_iou=0.5, max_boxes=1)
    assert len(got.scores) == 1


@pytest.mark.parametrize("max_boxes", [5, 300])
def test_asking_for_weaker_boxes_changes_nothing_above_the_thresholds(max_boxes: int) -> None:
    predictions = crowded_predictions(4)
    thresholds = np.linspace(0.2, 0.6, N_CLASSES, dtype=np.float32)
    default = postprocess(predictions, SQUARE, thresholds, nms_iou=0.5, max_boxes=max_boxes)
    asked = postprocess(
        predictions, SQUARE, thresholds, nms_iou=0.5, max_boxes=max_boxes, min_score=0.1
    )
    assert default.above_threshold.all()
    assert len(default.scores) <= len(asked.scores) == 300
    np.testing.assert_array_equal(asked.boxes[asked.above_threshold], default.boxes)
    np.testing.assert_array_equal(asked.labels[asked.above_threshold], default.labels)
    assert (np.diff(asked.scores) <= 0).all()


def test_boxes_come_back_in_the_pixels_of_a_wide_image_and_inside_it() -> None:
    wide = place(1000, 500, SPEC)
    predictions = np.array([[160], [160], [400], [80], [0.9]], dtype=np.float32)
    got = postprocess(predictions, wide, np.array([0.5], np.float32), nms_iou=0.5, max_boxes=1)
    np.testing.assert_allclose(got.boxes, [[0, 125, 1000, 375]], atol=0.01)


def test_nothing_above_the_threshold_gives_no_boxes() -> None:
    got = run(crowded_predictions(0), 1.1, 0.5)
    assert got.boxes.shape == (0, 4)
    assert got.labels.shape == got.scores.shape == (0,)


def test_overlapping_boxes_of_different_classes_stay() -> None:
    boxes = np.array([[0, 0, 10, 10]] * 3, dtype=np.float32)
    kept = suppress_overlaps(boxes, np.array([0, 1, 0]), nms_iou=0.5, max_boxes=9)
    assert kept.tolist() == [0, 1]


def test_filtering_by_score_first_keeps_a_usual_image_fast() -> None:
    predictions = crowded_predictions(0)
    run(predictions, 0.5, 0.5)
    started = time.thread_time()
    for _ in range(20):
        run(predictions, 0.5, 0.5)
    # About 1 ms of a core; the bound only catches a return to all-anchors geometry.
    assert (time.thread_time() - started) / 20 < 0.02
