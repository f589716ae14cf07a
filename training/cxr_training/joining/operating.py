"""The joined score from which on a box is shown, and what a reader of the boxes then meets."""

from dataclasses import dataclass

import numpy as np

from cxr_training.detector.annotations import REGIONS
from cxr_training.detector.evaluation import MIN_BOXES_FOR_THRESHOLD
from cxr_training.detector.scoring import BoolArray, FloatArray, Matches, Threshold, at_thresholds
from cxr_training.joining.answers import Answers

# A grid, not every score that occurs: the exact optimum of a jagged curve is noise.
_GRID = np.geomspace(0.01, 0.95, 100).round(3)
RULE = "best F1 at IoU 0.5 on held-out validation patients"


@dataclass(frozen=True, slots=True)
class Operation:
    """Figures at the operating thresholds, each [1 + resamples]."""

    named: dict[str, FloatArray]


def choose_thresholds(matches: Matches) -> list[Threshold]:
    """The joined score with the best F1 (IoU 0.5) of each region.

    A region with few boxes, or none found, gets the score that is best for all regions pooled:
    its own would be chance, and could show every box.
    """
    everything = np.ones(len(matches.label), dtype=bool)
    pooled, _ = _best_f1(matches, everything, int(matches.truth.sum()))
    chosen = []
    for label in range(len(REGIONS)):
        boxes = int(matches.truth[:, label].sum())
        score, f1 = _best_f1(matches, matches.label == label, boxes)
        if boxes < MIN_BOXES_FOR_THRESHOLD:
            chosen.append(Threshold(pooled, f"{RULE}, all regions pooled: it has {boxes} boxes"))
        elif f1 == 0:
            chosen.append(Threshold(pooled, f"{RULE}, all regions pooled: none of it is found"))
        else:
            chosen.append(Threshold(score, RULE))
    return chosen


def operation(
    answers: Answers, scores: FloatArray, thresholds: list[Threshold], weights: FloatArray
) -> Operation:
    """What is shown at `thresholds` of joined or own `scores`, over radiographs of `weights`.

    `sensitivity`, `precision` and `false_boxes` (an image) as `at_thresholds` has them, and
    `clear_films_marked`: the share of radiographs without a drawn box that show one.
    """
    limits = np.array([threshold.score for threshold in thresholds])
    matches = answers.matches(scores, known_only=True)
    named = at_thresholds(matches, limits, weights)
    shown = scores >= limits[answers.label]
    marked = np.bincount(answers.image[shown & answers.judged()], minlength=len(answers.patients))
    clear = answers.truth.sum(axis=1) == 0
    total = weights @ clear
    named["clear_films_marked"] = np.divide(
        weights @ (clear & (marked > 0)), total, out=np.full(len(total), np.nan), where=total > 0
    )
    return Operation(named)


def lowest_useful(answers: Answers, scores: FloatArray, thresholds: list[Threshold]) -> float:
    """The detector's score below which no box reaches its threshold; 1 where none is shown."""
    limits = np.array([threshold.score for threshold in thresholds])
    shown = scores >= limits[answers.label]
    return float(answers.score[shown].min(initial=1.0))


def _best_f1(matches: Matches, detections: BoolArray, boxes: int) -> tuple[float, float]:
    """The threshold and its F1."""
    scores, hits = matches.score[detections], matches.hit[detections, 0]
    shown = np.array([(scores >= limit).sum() for limit in _GRID])
    found = np.array([hits[scores >= limit].sum() for limit in _GRID])
    f1 = 2 * found / np.maximum(shown + boxes, 1)
    best = int(f1.argmax())
    return float(_GRID[best]), float(f1[best])
