"""Figures of a probabilistic classifier, of weighted images so that a bootstrap can use them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_LINES_AT_ONCE = 32


def auroc(
    targets: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Area under the ROC curve; NaN without a positive or without a negative.

    Args:
        targets: 0 or 1, [N].
        scores: any monotone score, [N]; ties count one half.
        weights: not negative, [N]; how often each image counts.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if weights is None:
        weights = np.ones(scores.shape)
    return float(aurocs(targets, scores, np.asarray(weights)[None])[0])


def aurocs(targets: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """`auroc` for many weightings at once, weights [B, N]: float64 [B].

    The area is the probability that a positive scores above a negative, so one sort serves all.
    """
    scores = np.asarray(scores, dtype=np.float64)
    weights = np.asarray(weights)
    if not scores.size:
        return np.full(weights.shape[0], np.nan)
    order = np.argsort(scores, kind="stable")
    positive = np.asarray(targets, dtype=bool)[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    # In pieces that stay in the processor's cache: several times as fast as all at once.
    pieces = [
        _areas(weights[first : first + _LINES_AT_ONCE, order], positive, starts)
        for first in range(0, len(weights), _LINES_AT_ONCE)
    ]
    return np.concatenate(pieces)


def _areas(
    weights: npt.NDArray[Any], positive: npt.NDArray[np.bool_], starts: npt.NDArray[np.intp]
) -> FloatArray:
    """AUROC of each line of sorted weights; `starts` are the first images of equal scores."""
    weights = weights.astype(np.float64)
    positives = np.add.reduceat(weights * positive, starts, axis=1)
    negatives = np.add.reduceat(weights * ~positive, starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    won = (positives * (below + negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    area: FloatArray = np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0)
    return area


def expected_calibration_error(
    targets: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    bins: int = 10,
) -> float:
    """Mean gap between probability and frequency over equally filled bins; NaN without images.

    Equally filled rather than equally wide: most findings are rare, and nearly all their
    probabilities would stand in the first of ten equal widths (Nixon et al. 2019).
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if weights is None:
        weights = np.ones(probabilities.shape)
    lines = np.asarray(weights)[None]
    return float(expected_calibration_errors(targets, probabilities, lines, bins)[0])


def expected_calibration_errors(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike, bins: int = 10
) -> FloatArray:
    """`expected_calibration_error` for many weightings at once, weights [B, N]: float64 [B]."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    weights = np.asarray(weights)
    order = np.argsort(probabilities, kind="stable")
    gaps = (probabilities - np.asarray(targets, dtype=np.float64))[order]
    pieces = [
        _calibration_errors(weights[first : first + _LINES_AT_ONCE, order], gaps, bins)
        for first in range(0, len(weights), _LINES_AT_ONCE)
    ]
    return np.concatenate(pieces)


def equal_bins(shares: FloatArray, bins: int) -> npt.NDArray[np.int64]:
    """The bin of each image, 0 to bins - 1, by the share of images up to it (0 to 1, itself in)."""
    # The images on a boundary belong to the bin that they complete.
    return np.minimum((shares * bins * (1 - 1e-12)).astype(np.int64), bins - 1)


def _calibration_errors(weights: npt.NDArray[Any], gaps: FloatArray, bins: int) -> FloatArray:
    """The error of each line of weights, whose images are sorted by probability."""
    n_lines = len(weights)
    weights = weights.astype(np.float64)
    total = weights.sum(axis=1)
    share = np.cumsum(weights, axis=1) / np.where(total > 0, total, 1.0)[:, None]
    cell = equal_bins(share, bins) + bins * np.arange(n_lines)[:, None]
    sums = np.bincount(cell.ravel(), weights=(weights * gaps).ravel(), minlength=bins * n_lines)
    error = np.abs(sums.reshape(n_lines, bins)).sum(axis=1)
    mean: FloatArray = np.divide(error, total, out=np.full(n_lines, np.nan), where=total > 0)
    return mean


def roc_points(
    targets: npt.ArrayLike, scores: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Thresholds (ascending, each a score that occurs) with sensitivity and specificity there.

    An image is positive where its score reaches the threshold.
    """
    weights = np.ones((1, np.size(scores)))
    roc = weighted_roc(targets, scores, weights)
    return roc.thresholds, roc.sensitivity[0], roc.specificity[0]


@dataclass(frozen=True, slots=True)
class WeightedRoc:
    """`roc_points` of B weightings.

    `thresholds` is [T], ascending; the others are [B, T]. `occurs` says whether any image of that
    score has a weight.
    """

    thresholds: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray
    occurs: npt.NDArray[np.bool_]


def weighted_roc(
    targets: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike
) -> WeightedRoc:
    """`roc_points` for many weightings at once, weights [B, N]."""
    scores = np.asarray(scores, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    positive = np.asarray(targets, dtype=bool)[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    sorted_weights = np.asarray(weights)[:, order].astype(np.float64)
    positives = np.add.reduceat(sorted_weights * positive, starts, axis=1)
    negatives = np.add.reduceat(sorted_weights * ~positive, starts, axis=1)
    n_positives = positives.sum(axis=1, keepdims=True)
    n_negatives = negatives.sum(axis=1, keepdims=True)
    found = n_positives - (np.cumsum(positives, axis=1) - positives)
    spared = np.cumsum(negatives, axis=1) - negatives
    return WeightedRoc(
        thresholds=scores[order][starts],
        sensitivity=found / np.maximum(n_positives, 1),
        specificity=spared / np.maximum(n_negatives, 1),
        occurs=positives + negatives > 0,
    )
