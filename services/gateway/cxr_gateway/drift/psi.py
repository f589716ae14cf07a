"""The population stability index: how far a week's distribution lies from the reference's.

    PSI = sum over the bins of (week - reference) * ln(week / reference)

of the shares of radiographs in each bin. It is 0 for the same distribution, and whichever of the
two is the reference makes no difference. Half a radiograph is added to every bin of both, so that
an empty bin counts as nearly empty and not as infinitely unlikely. Chance alone makes about (bins -
1) / radiographs of it: with ten bins and 300 radiographs 0.03, which is why a week with fewer is
not compared.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

WATCH = 0.1
DRIFTED = 0.25
_HALF_AN_IMAGE = 0.5


class DriftFlag(StrEnum):
    """What follows from a PSI."""

    STABLE = "stable"
    WATCH = "watch"  # from 0.1
    DRIFTED = "drifted"  # from 0.25
    TOO_FEW = "too-few"  # fewer radiographs than are compared


def psi(week: Sequence[int], reference: Sequence[int]) -> float:
    """The index of two rows of counts over the same bins."""
    if len(week) != len(reference):
        raise ValueError(f"{len(week)} bins cannot be held against {len(reference)}")
    now, then = _shares(week), _shares(reference)
    return float(((now - then) * np.log(now / then)).sum())


def flag_of(value: float | None) -> DriftFlag:
    """The flag of a PSI; None is that of too few radiographs."""
    if value is None:
        return DriftFlag.TOO_FEW
    if value >= DRIFTED:
        return DriftFlag.DRIFTED
    return DriftFlag.WATCH if value >= WATCH else DriftFlag.STABLE


def counts_in(values: ArrayLike, edges: Sequence[float]) -> list[int]:
    """How many values lie in each bin: bin i from edge i - 1 on, below edge i; open at both ends.

    Values that are not known (NaN) are in none.
    """
    numbers = np.asarray(values, np.float64)
    known = numbers[~np.isnan(numbers)]
    bins = np.searchsorted(np.asarray(edges, np.float64), known, side="right")
    return [int(n) for n in np.bincount(bins, minlength=len(edges) + 1)]


def quantile_edges(values: ArrayLike, bins: int) -> list[float]:
    """Rising inner edges that put about as many values into each of at most `bins` bins.

    Values that come often may fill several bins' worth; then there are fewer bins. A single value
    gets a bin of its own, so that whatever lies above or below it is seen.
    """
    numbers = np.asarray(values, np.float64)
    known = numbers[~np.isnan(numbers)]
    if not known.size:
        raise ValueError("there is no value to make bins of")
    inner = np.sort(known)[np.arange(1, bins) * known.size // bins]
    edges = [float(edge) for edge in np.unique(inner)]
    if len(edges) == 1:
        edges.append(float(np.nextafter(edges[0], np.inf)))
    return edges


def _shares(counts: Sequence[int]) -> NDArray[np.float64]:
    raised = np.asarray(counts, np.float64) + _HALF_AN_IMAGE
    return np.asarray(raised / raised.sum())
