"""95% intervals by resampling patients, not images.

Images of one patient resemble each other; resampling images would claim more certainty than
there is (Efron and Tibshirani 1993, chapter 8, on resampling the independent unit).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr_contracts import Interval

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.int64]
_Z = 1.96


def patient_weights(patients: Sequence[str], resamples: int, seed: int) -> Weights:
    """How often each image stands in each resample, int64 [resamples, N].

    A resample draws as many patients as there are, with replacement; an image counts as often
    as its patient was drawn.
    """
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    n_patients = int(index.max(initial=-1)) + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=resamples)
    weights: Weights = drawn[:, index]
    return weights


def interval_of(value: float, draws: FloatArray) -> Interval:
    """`value` with the 2.5th and 97.5th percentile of the draws that are defined."""
    defined = draws[~np.isnan(draws)]
    if not defined.size:
        return Interval(value=value, low=value, high=value)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


def with_resamples(patients: Sequence[str], resamples: int, seed: int) -> FloatArray:
    """Weights [1 + resamples, N]: the images as they are, then `patient_weights`."""
    drawn = patient_weights(patients, resamples, seed)
    return np.concatenate([np.ones((1, len(patients))), drawn]).astype(np.float64)


def ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> FloatArray:
    """`above` over `below`, of one shape, place by place; NaN where `below` is not above zero."""
    below = np.asarray(below)
    quotient: FloatArray = np.full(below.shape, np.nan)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient


def mean_of_defined(figures: Sequence[FloatArray]) -> FloatArray:
    """The mean of the figures that are not NaN, place by place; NaN where all are.

    Args:
        figures: of one shape, [resamples] for example.
    """
    values = np.array(figures)
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0))


def interval_or_none(draws: FloatArray) -> Interval | None:
    """The first of `draws` with the interval of the others; None where it is NaN."""
    return None if np.isnan(draws[0]) else interval_of(float(draws[0]), draws[1:])


def weighted_shares(weights: FloatArray, among: BoolArray, hits: BoolArray) -> FloatArray:
    """Of the images `among`, the share of `hits` in each weighting; NaN where there are none.

    Args:
        weights: [B, N], as of `with_resamples`.
        among: bool [N].
        hits: bool [N].
    """
    return ratio(weights @ (among & hits), weights @ among)


def share_interval(draws: FloatArray, n_patients: int) -> Interval:
    """The first of `draws`, between 0 and 1, with the interval of the others.

    All or none leave nothing to resample: Wilson's interval of as many trials as patients.
    """
    value = float(draws[0])
    if 0 < value < 1:
        return interval_of(value, draws[1:])
    margin = _Z**2 / (n_patients + _Z**2)
    low, high = (1 - margin, 1.0) if value >= 1 else (0.0, margin)
    return Interval(value=value, low=low, high=high)
