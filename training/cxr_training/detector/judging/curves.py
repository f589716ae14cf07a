"""The points of precision-recall and FROC curves, at IoU 0.5."""

import numpy as np

from cxr_training.detector.scoring import (
    RECALL_POINTS,
    FloatArray,
    Matches,
    froc_sensitivity,
)

FALSE_BOXES: FloatArray = np.geomspace(0.05, 8.0, 40)


def precision_recall(matches: Matches, label: int) -> tuple[FloatArray, FloatArray]:
    """Recalls that one class reaches and the best precision at each of them or beyond."""
    hits = matches.hit[matches.label == label, 0]
    total = int(matches.truth[:, label].sum())
    if not total or not hits.any():
        return np.empty(0), np.empty(0)
    found = np.cumsum(hits)
    precision = np.maximum.accumulate((found / np.arange(1, len(hits) + 1))[::-1])[::-1]
    recall = found / total
    reached = RECALL_POINTS[recall[-1] >= RECALL_POINTS]
    # The first detection that reaches a recall; the envelope there is the best from there on.
    first = np.searchsorted(recall, reached)
    return reached, precision[first]


def froc(matches: Matches) -> FloatArray:
    """The share of all boxes that is found at each of `FALSE_BOXES` an image."""
    everything = np.ones((1, len(matches.truth)))
    return np.array([float(froc_sensitivity(matches, everything, rate)[0]) for rate in FALSE_BOXES])
