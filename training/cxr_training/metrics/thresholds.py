"""The score from which on a box is shown, for each class: one rule, for raw and rescored scores.

The best F1 alone suits a class that is found well. Of one that is found badly it shows everything,
for each lucky hit is worth a dozen wrong boxes to it; a clinician counts otherwise. So at least
`LEAST_PRECISION` of what is shown must be right, and the best F1 is taken among such scores.
"""

from dataclasses import dataclass

import numpy as np

from cxr_training.metrics.detection import BoolArray, FloatArray, Matches

LEAST_PRECISION = 1 / 4
# A class with fewer validation boxes gets the pooled threshold.
MIN_BOXES_FOR_THRESHOLD = 20
# Grids, not every score that occurs: the exact optimum of a jagged curve is noise.
_DETECTOR_SCORES: FloatArray = np.arange(0.05, 0.96, 0.01)
_RESCORED_SCORES: FloatArray = np.geomspace(0.01, 0.95, 100).round(3)
_RULE = "best F1 at IoU 0.5 with at least one in four right"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest score shown of a class, and how it was chosen."""

    score: float
    rule: str


def is_by_this_rule(rule: str) -> bool:
    """Whether a manifest's `threshold_rule` is the one below; an older manifest has another."""
    return rule.startswith(_RULE)


def detector_thresholds(matches: Matches, n_labels: int) -> list[Threshold]:
    """For a detector's own scores."""
    return _choose(matches, n_labels, _DETECTOR_SCORES, "validation patients")


def rescored_thresholds(matches: Matches, n_labels: int) -> list[Threshold]:
    """For rescored boxes of patients whom the fit has not seen."""
    return _choose(matches, n_labels, _RESCORED_SCORES, "held-out validation patients")


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
