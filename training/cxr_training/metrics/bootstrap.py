"""95% intervals by resampling patients, not images.

Images of one patient resemble each other; resampling images would claim more certainty than
there is (Efron and Tibshirani 1993, chapter 8, on resampling the independent unit).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cxr_contracts import Interval

FloatArray = npt.NDArray[np.float64]
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


def bootstrap_interval(
    statistic: Callable[[Weights], FloatArray | float],
    patients: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> Interval | None:
    """The statistic with its 95% percentile interval; None where it is not defined.

    Args:
        statistic: figure of weighted images, given the weights of one sample, int64 [N]; NaN
            where it is not defined. Resamples in which it is NaN are left out.
        patients: the patient of each image.
        resamples: number of resamples.
        seed: of the resampling.
    """
    value = float(statistic(np.ones(len(patients), dtype=np.int64)))
    if np.isnan(value):
        return None
    weights = patient_weights(patients, resamples, seed)
    draws = np.array([float(statistic(row)) for row in weights])
    return interval_of(value, draws)


def interval_of(value: float, draws: FloatArray) -> Interval:
    """`value` with the 2.5th and 97.5th percentile of the draws that are defined."""
    defined = draws[~np.isnan(draws)]
    if not defined.size:
        return Interval(value=value, low=value, high=value)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))


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
