"""Figures of a probabilistic classifier, of weighted images so that a bootstrap can use them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_training.metrics.bootstrap import FloatArray, ratio

_LINES_AT_ONCE = 32
# Probabilities nearer to 0 or 1 have no logit that a slope could be fitted to.
_NEAREST = 1e-6
_MOST_STEPS = 30


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

    def areas(lines: npt.NDArray[Any]) -> FloatArray:
        _, positives, negatives = _by_score(targets, scores, lines)
        below = np.cumsum(negatives, axis=1) - negatives
        won = (positives * (below + negatives / 2)).sum(axis=1)
        return ratio(won, positives.sum(axis=1) * negatives.sum(axis=1))

    weights = np.asarray(weights)
    return in_pieces(areas, weights) if np.size(scores) else np.full(len(weights), np.nan)


def in_pieces(
    figure: Callable[[npt.NDArray[Any]], FloatArray], weights: npt.ArrayLike
) -> FloatArray:
    """`figure`, from weightings [b, N] to [b], of many weightings [B, N]: float64 [B].

    Pieces stay in the processor's cache, and are several times as fast as all at once.
    """
    lines = np.asarray(weights)
    starts = range(0, len(lines), _LINES_AT_ONCE)
    return np.concatenate([figure(lines[first : first + _LINES_AT_ONCE]) for first in starts])


def _by_score(
    targets: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.NDArray[Any]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The scores that occur [T], ascending; weights of positives and negatives of each [B, T]."""
    scores = np.asarray(scores, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    positive = np.asarray(targets, dtype=bool)[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    lines = weights[:, order].astype(np.float64)
    positives = np.add.reduceat(lines * positive, starts, axis=1)
    negatives = np.add.reduceat(lines * ~positive, starts, axis=1)
    return scores[order][starts], positives, negatives


def expected_calibration_errors(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike, bins: int = 10
) -> FloatArray:
    """Mean gap between probability and frequency over equally filled bins; NaN without images.

    Equally filled rather than equally wide: most findings are rare, and nearly all their
    probabilities would stand in the first of ten equal widths (Nixon et al. 2019).

    Args:
        targets: 0 or 1, [N].
        probabilities: [N].
        weights: how often each image counts, for many weightings at once, [B, N].
        bins: how many.

    Returns:
        float64 [B].
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(probabilities, kind="stable")
    gaps = (probabilities - np.asarray(targets, dtype=np.float64))[order]

    def errors(lines: npt.NDArray[Any]) -> FloatArray:
        n_lines, lines = len(lines), lines[:, order].astype(np.float64)
        total = lines.sum(axis=1)
        share = np.cumsum(lines, axis=1) / np.where(total > 0, total, 1.0)[:, None]
        # The images on a boundary belong to the bin that they complete.
        bin_of = np.minimum((share * bins * (1 - 1e-12)).astype(np.int64), bins - 1)
        cell = bin_of + bins * np.arange(n_lines)[:, None]
        sums = np.bincount(cell.ravel(), weights=(lines * gaps).ravel(), minlength=bins * n_lines)
        return ratio(np.abs(sums.reshape(n_lines, bins)).sum(axis=1), total)

    return in_pieces(errors, weights)


def brier_skills(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike
) -> FloatArray:
    """1 - mean squared error / that of giving every image the images' own prevalence.

    0 is no better than the prevalence alone, 1 is perfect; NaN without a positive or a negative.

    Args:
        targets: 0 or 1, [N].
        probabilities: [N].
        weights: how often each image counts, for many weightings at once, [B, N].

    Returns:
        float64 [B].
    """
    truth = np.asarray(targets, dtype=np.float64)
    errors = (np.asarray(probabilities, dtype=np.float64) - truth) ** 2
    lines = np.asarray(weights, dtype=np.float64)
    total = lines.sum(axis=1)
    prevalence = ratio(lines @ truth, total)
    return 1.0 - ratio(lines @ errors, total * prevalence * (1.0 - prevalence))


def calibration_slopes(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, weights: npt.ArrayLike
) -> FloatArray:
    """The slope of a logistic regression of the targets on the logit of the probabilities.

    1 where probabilities are as spread as they should be, below 1 where they are too extreme (Cox
    1958); NaN without a positive or a negative, and where the regression has no finite optimum.

    Args:
        targets: 0 or 1, [N].
        probabilities: [N].
        weights: how often each image counts, for many weightings at once, [B, N].

    Returns:
        float64 [B].
    """
    truth = np.asarray(targets, dtype=np.float64)
    given = np.clip(np.asarray(probabilities, dtype=np.float64), _NEAREST, 1.0 - _NEAREST)
    design = np.stack([np.ones(given.shape), np.log(given) - np.log1p(-given)])
    products = np.stack([design[0], design[1], design[1] ** 2], axis=1)

    def slopes(lines: npt.NDArray[Any]) -> FloatArray:
        lines = lines.astype(np.float64)
        coefficients = np.tile([0.0, 1.0], (len(lines), 1))
        positives, total = lines @ truth, lines.sum(axis=1)
        done = np.zeros(len(lines), dtype=bool)
        for _ in range(_MOST_STEPS):
            p = 0.5 * (1.0 + np.tanh(0.5 * (coefficients @ design)))
            gradient = (lines * (p - truth)) @ design.T
            h = (lines * p * (1.0 - p)) @ products
            determinant = h[:, 0] * h[:, 2] - h[:, 1] ** 2
            with np.errstate(divide="ignore", invalid="ignore"):
                step = (
                    np.stack(
                        [
                            h[:, 2] * gradient[:, 0] - h[:, 1] * gradient[:, 1],
                            h[:, 0] * gradient[:, 1] - h[:, 1] * gradient[:, 0],
                        ],
                        axis=1,
                    )
                    / determinant[:, None]
                )
            largest = np.abs(step).max(axis=1)
            # Newton's full step can overshoot far from the optimum; near it this never acts.
            with np.errstate(invalid="ignore"):  # of a line without a slope, which is none below
                coefficients -= step * np.minimum(1.0, 1.0 / np.maximum(largest, 1e-12))[:, None]
            done = largest < 1e-8
            if bool((done | ~np.isfinite(largest)).all()):
                break
        defined = done & (positives > 0) & (positives < total)
        return np.where(defined, coefficients[:, 1], np.nan)

    return in_pieces(slopes, weights)
