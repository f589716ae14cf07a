"""What a reader of the boxes meets at the thresholds from which on they are shown."""

from dataclasses import dataclass

import numpy as np

from cxr_training.detector.scoring import FloatArray, at_thresholds
from cxr_training.metrics.thresholds import Threshold
from cxr_training.rescoring.answers import Answers


@dataclass(frozen=True, slots=True)
class Operation:
    """Figures at the operating thresholds, each [1 + resamples]."""

    named: dict[str, FloatArray]


def operation(
    answers: Answers, scores: FloatArray, thresholds: list[Threshold], weights: FloatArray
) -> Operation:
    """What is shown at `thresholds` of rescored or own `scores`, over radiographs of `weights`.

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
