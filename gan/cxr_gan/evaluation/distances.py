"""Distances between sets of features, of weighted images so that a bootstrap can use them.

Fréchet distance: Heusel et al., NeurIPS 2017 (of the two normal distributions of the same mean
and covariance; Dowson and Landau 1982). Kernel distance: Bińkowski et al., ICLR 2018 (squared
maximum mean discrepancy under the kernel (x.y / d + 1)^3, without bias). torchmetrics has both,
and tests compare with it, but without weights, and its Fréchet distance of a covariance without
full rank agrees to five digits only.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh, eigvalsh

from cxr_gan.evaluation.features import Features

Numbers = npt.NDArray[np.float64]
Weights = npt.NDArray[np.int64]
_ROWS_AT_ONCE = 128


class FrechetReference:
    """The set that others are compared with; what depends on it alone is computed once."""

    def __init__(self, features: Features) -> None:
        reference = features.astype(np.float64)
        self.mean = reference.mean(axis=0)
        covariance = np.atleast_2d(np.cov(reference, rowvar=False))
        values, vectors = eigh(covariance)
        self.root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
        self.trace = float(np.trace(covariance))


class FrechetComparison:
    """Fréchet distances of weighted versions of one set to a reference.

    With R the root of the reference's covariance C and S that of the set, the distance needs the
    trace of (R S R)^(1/2). R S R is the covariance of the features times R, so that each weighting
    costs one covariance and one eigenvalue problem.
    """

    def __init__(self, reference: FrechetReference, features: Features) -> None:
        self.reference = reference
        self.features = features.astype(np.float64)
        self.turned = self.features @ reference.root

    def distance(self, weights: Weights | None = None) -> float:
        """The squared distance d², as is usual, in which each image counts `weights` times."""
        counts = np.ones(len(self.features), np.int64) if weights is None else weights
        mean = np.average(self.features, axis=0, weights=counts)
        squares = counts @ ((self.features - mean) ** 2).sum(axis=1)
        trace = float(squares / (counts.sum() - 1))
        turned = np.atleast_2d(np.cov(self.turned, rowvar=False, fweights=counts))
        cross = float(np.sqrt(np.maximum(eigvalsh(turned), 0)).sum())
        apart = float(((mean - self.reference.mean) ** 2).sum())
        return apart + trace + self.reference.trace - 2 * cross


class KernelComparison:
    """Kernel distances of weighted versions of one set to a reference."""

    def __init__(self, reference: Features, features: Features) -> None:
        self.within = _kernel(features, features)
        self.across = _kernel(features, reference).mean(axis=1)
        among, n = _kernel(reference, reference), len(reference)
        self.among = float((among.sum() - np.trace(among)) / (n * (n - 1)))

    def distance(self, weights: Weights | None = None) -> float:
        """The estimate without bias; it may fall below zero where the sets are alike.

        An image that a resample drew twice is never paired with itself.
        """
        counts = np.ones(len(self.across)) if weights is None else weights.astype(np.float64)
        total, squares = counts.sum(), counts**2
        pairs = counts @ self.within @ counts - squares @ np.diag(self.within)
        within = pairs / (total**2 - squares.sum())
        return float(within + self.among - 2 * (counts @ self.across) / total)


def _kernel(first: Features, second: Features) -> Numbers:
    products = first.astype(np.float64) @ second.astype(np.float64).T
    kernel: Numbers = (products / first.shape[1] + 1) ** 3
    return kernel


def distance_rows(points: Features, others: Features) -> Iterator[tuple[slice, Numbers]]:
    """Some rows of `points` [n, d] and their distances to all `others` [m, d], again and again."""
    # float64: in float32 the distance of a copy would be lost in the rounding of the squares.
    second = np.asarray(others, np.float64)
    squares = (second**2).sum(axis=1)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, len(points)))
        first = np.asarray(points[rows], np.float64)
        squared = (first**2).sum(axis=1)[:, None] + squares - 2 * first @ second.T
        yield rows, np.sqrt(np.maximum(squared, 0))


def nearest(points: Features, others: Features, k: int) -> Numbers:
    """Distances [n, 2] of each point to its nearest and its k-th nearest of `others`."""
    k = min(k, len(others))
    found = np.empty((len(points), 2))
    for rows, distances in distance_rows(points, others):
        found[rows] = np.partition(distances, (0, k - 1), axis=1)[:, [0, k - 1]]
    return found


def radii(points: Features, k: int) -> Numbers:
    """Distance [n] of each point to its k-th nearest other point of the same set."""
    return nearest(points, points, k + 1)[:, 1]


def inside_any(points: Features, centres: Features, within: Numbers) -> npt.NDArray[np.bool_]:
    """Whether each point [n] lies within the radius of any centre."""
    inside = np.empty(len(points), bool)
    for rows, distances in distance_rows(points, centres):
        inside[rows] = (distances <= within).any(axis=1)
    return inside
