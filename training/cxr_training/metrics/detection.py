"""mAP, FROC and figures at thresholds of a detector: the one place where they are computed.

Detections are matched to the true boxes once; a bootstrap resample of the patients is then a weight
for each image, and every figure below takes such weights [resamples, images].

The score from which on a box is shown: the best F1 alone suits a class that is found well. Of one
that is found badly it shows everything, for each lucky hit is worth a dozen wrong boxes to it; a
clinician counts otherwise. So at least `LEAST_PRECISION` of what is shown must be right, and the
best F1 is taken among such scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import LabelSpec
from cxr_training.metrics.bootstrap import BoolArray, FloatArray, mean_of_defined, ratio

IndexArray = npt.NDArray[np.intp]

IOU_THRESHOLDS: FloatArray = np.linspace(0.5, 0.95, 10)
_RECALL_POINTS = np.linspace(0.0, 1.0, 101)
_MOST_CELLS = 10_000_000


@dataclass(frozen=True, slots=True)
class Matches:
    """All detections of all images, highest score first, with what they hit."""

    image: IndexArray
    """[D], index of the image."""
    label: IndexArray
    """[D], index of the class."""
    score: FloatArray
    """[D]."""
    hit: BoolArray
    """[D, T]: whether it hits a box of its class that no better detection hit, at each IoU."""
    truth: npt.NDArray[np.int64]
    """[images, classes], how many boxes there are."""

    def keep(self, detections: BoolArray, truth: npt.NDArray[np.int64]) -> "Matches":
        """The same with fewer detections and other boxes; the order stays."""
        return Matches(
            self.image[detections],
            self.label[detections],
            self.score[detections],
            self.hit[detections],
            truth,
        )


def match(
    boxes: npt.NDArray[np.float32],
    labels: IndexArray,
    truth_boxes: npt.NDArray[np.float32],
    truth_labels: IndexArray,
) -> BoolArray:
    """Which detections of one image hit, [n, thresholds]: the best score takes the best free box.

    Args:
        boxes: [n, 4] corners, highest score first.
        labels: [n].
        truth_boxes: [m, 4].
        truth_labels: [m].
    """
    hit = np.zeros((len(boxes), len(IOU_THRESHOLDS)), dtype=bool)
    if not len(truth_boxes):
        return hit
    overlaps = iou_matrix(boxes, truth_boxes)
    overlaps[labels[:, np.newaxis] != truth_labels[np.newaxis]] = 0.0
    for column, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(truth_boxes), dtype=bool)
        for row in np.flatnonzero(overlaps.max(axis=1) >= threshold):
            candidates = np.where(free, overlaps[row], 0.0)
            best = int(candidates.argmax())
            if candidates[best] >= threshold:
                free[best] = False
                hit[row, column] = True
    return hit


def iou_matrix(
    one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Intersection over union of corners [n, 4] with corners [m, 4]: [n, m]."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    low = np.maximum(one[:, np.newaxis, :2], other[np.newaxis, :, :2])
    high = np.minimum(one[:, np.newaxis, 2:], other[np.newaxis, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    union = areas[0][:, np.newaxis] + areas[1][np.newaxis] - shared
    ious: npt.NDArray[np.float64] = shared / np.maximum(union, 1e-9)
    return ious


def average_precision(
    matches: Matches, label: int, weights: FloatArray, thresholds: Sequence[int]
) -> FloatArray:
    """Average precision of one class, mean over IoU thresholds: [resamples].

    The precision envelope at 101 recalls, as COCO and Ultralytics compute it. NaN in a resample
    that has no box of the class.

    Args:
        matches: of all images.
        label: index of the class.
        weights: [resamples, images].
        thresholds: indices into `IOU_THRESHOLDS`.
    """
    chosen = matches.label == label
    images, hits = matches.image[chosen], matches.hit[chosen]
    total = weights @ matches.truth[:, label]
    counted = weights[:, images]
    everything = np.cumsum(counted, axis=1)
    result = np.zeros(len(weights))
    for threshold in thresholds:
        found = np.cumsum(counted * hits[:, threshold], axis=1)
        result += [_area(found[row], everything[row], total[row]) for row in range(len(weights))]
    return np.where(total > 0, result / len(thresholds), np.nan)


def mean_average_precision(
    matches: Matches, weights: FloatArray, thresholds: Sequence[int] = (0,)
) -> FloatArray:
    """mAP, the mean over the classes that have a box: [resamples]; NaN where none has.

    Args:
        matches: of all images.
        weights: [resamples, images].
        thresholds: indices into `IOU_THRESHOLDS`; the first alone gives mAP50.
    """
    labels = range(matches.truth.shape[1])
    return mean_of_defined(
        [average_precision(matches, label, weights, thresholds) for label in labels]
    )


def _area(found: FloatArray, everything: FloatArray, total: float) -> float:
    if total == 0 or not len(found) or found[-1] == 0:
        return 0.0
    # A detection of weight 0 changes neither count; without the guard the first would divide by 0.
    precision = found / np.maximum(everything, 1e-12)
    # Beyond the last recall that was reached, the precision is 0 at once.
    recall = np.concatenate([[0.0], found / total, [found[-1] / total, 1.0]])
    envelope = np.concatenate([[1.0], precision, [0.0, 0.0]])
    envelope = np.maximum.accumulate(envelope[::-1])[::-1]
    return float(np.trapezoid(np.interp(_RECALL_POINTS, recall, envelope), _RECALL_POINTS))


def froc_sensitivity(
    matches: Matches, weights: FloatArray, false_boxes_per_image: float
) -> FloatArray:
    """The share of all boxes that is found (IoU 0.5) at so many false boxes an image: [resamples].

    One score threshold for all classes; NaN in a resample without a box.
    """
    # In parts: a thousand resamples of a hundred thousand detections would need gigabytes.
    parts = np.array_split(weights, max(1, weights.shape[0] * len(matches.image) // _MOST_CELLS))
    return np.concatenate([_froc(matches, part, false_boxes_per_image) for part in parts])


def froc_curve(matches: Matches, rates: FloatArray) -> FloatArray:
    """`froc_sensitivity` of the images as they are, at each of `rates` false boxes an image."""
    everything = np.ones((1, len(matches.truth)))
    return np.array([float(froc_sensitivity(matches, everything, rate)[0]) for rate in rates])


def _froc(matches: Matches, weights: FloatArray, false_boxes_per_image: float) -> FloatArray:
    total = weights @ matches.truth.sum(axis=1)
    allowed = weights.sum(axis=1) * false_boxes_per_image
    counted = weights[:, matches.image]
    hits = matches.hit[:, 0]
    found = np.cumsum(counted * hits, axis=1)
    false = np.cumsum(counted * ~hits, axis=1)
    within = np.where(false <= allowed[:, np.newaxis], found, 0.0)
    return ratio(within.max(axis=1, initial=0.0), total)


def at_thresholds(
    matches: Matches, limits: FloatArray, weights: FloatArray
) -> dict[str, FloatArray]:
    """Figures of the boxes above the thresholds of their classes, each [resamples].

    `sensitivity`: the share of all true boxes that is found (IoU 0.5); `precision`: the share of
    boxes above threshold that is right; `false_boxes`: above threshold and wrong, an image.

    Args:
        matches: of all images.
        limits: [classes], the thresholds.
        weights: [resamples, images].
    """
    above = matches.score >= limits[matches.label]
    hits = matches.hit[:, 0] & above
    n_images = weights.shape[1]
    found = weights @ np.bincount(matches.image[hits], minlength=n_images)
    detected = weights @ np.bincount(matches.image[above], minlength=n_images)
    return {
        "sensitivity": ratio(found, weights @ matches.truth.sum(axis=1)),
        "precision": ratio(found, detected),
        "false_boxes": (detected - found) / weights.sum(axis=1),
    }


LEAST_PRECISION = 1 / 4
# A class with fewer validation boxes gets the pooled threshold.
MIN_BOXES_FOR_THRESHOLD = 20
# Grids, not every score that occurs: the exact optimum of a jagged curve is noise.
_DETECTOR_SCORES: FloatArray = np.arange(0.05, 0.96, 0.01)
_RULE = "best F1 at IoU 0.5 with at least one in four right"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score shown of a class, and how it was chosen."""

    score: float
    rule: str


def shipped_thresholds(labels: Sequence[LabelSpec]) -> list[Threshold]:
    """Those of a manifest."""
    return [Threshold(label.threshold, label.threshold_rule) for label in labels]


def is_by_this_rule(rule: str) -> bool:
    """Whether a manifest's `threshold_rule` is the one below; an older manifest has another."""
    return rule.startswith(_RULE)


def detector_thresholds(matches: Matches, n_labels: int) -> list[Threshold]:
    """For a detector's own scores."""
    return _choose(matches, n_labels, _DETECTOR_SCORES, "validation patients")


def thresholds_in_use(matches: Matches, n_labels: int) -> list[Threshold]:
    """The same of annotated and ordinary radiographs together: fewer boxes of those are right."""
    chosen = detector_thresholds(matches, n_labels)
    return [Threshold(one.score, f"with ordinary images: {one.rule}") for one in chosen]


def _choose(matches: Matches, n_labels: int, grid: FloatArray, patients: str) -> list[Threshold]:
    """One threshold of the `grid` (ascending) for each class.

    A class of few boxes, or that is right too seldom at any score, gets the score that is best for
    all classes pooled: its own would be chance. Where that is right too seldom as well, the highest
    of the grid.
    """
    rule = f"{_RULE}, on {patients}"
    everything = np.ones(len(matches.label), dtype=bool)
    pooled = _best(matches, everything, int(matches.truth.sum()), grid)
    pooled = float(grid[-1]) if pooled is None else pooled
    chosen = []
    for label in range(n_labels):
        boxes = int(matches.truth[:, label].sum())
        own = _best(matches, matches.label == label, boxes, grid)
        if boxes < MIN_BOXES_FOR_THRESHOLD:
            chosen.append(Threshold(pooled, f"{rule}, all regions pooled: it has {boxes} boxes"))
        elif own is None:
            chosen.append(Threshold(pooled, f"{rule}, all regions pooled: too few of it are right"))
        else:
            chosen.append(Threshold(own, rule))
    return chosen


def _best(matches: Matches, detections: BoolArray, boxes: int, grid: FloatArray) -> float | None:
    scores, hits = matches.score[detections], matches.hit[detections, 0]
    shown = np.array([(scores >= limit).sum() for limit in grid])
    found = np.array([hits[scores >= limit].sum() for limit in grid])
    allowed = (found > 0) & (found >= LEAST_PRECISION * shown)
    if not allowed.any():
        return None
    f1 = np.where(allowed, 2 * found / np.maximum(shown + boxes, 1), -1.0)
    return float(grid[int(f1.argmax())])
