"""Euclidean distances to nearest neighbours, in pieces of bounded memory."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cxr_gan.judging.distances import Numbers
from cxr_gan.judging.extractor import Features

_ROWS_AT_ONCE = 128


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
        nearest_k = np.partition(distances, (0, k - 1), axis=1)
        found[rows] = nearest_k[:, [0, k - 1]]
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
