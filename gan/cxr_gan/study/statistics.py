"""A figure over several trainings, with what both patients and trainings leave uncertain.

The mixed model of multi-reader studies (Obuchowski and Rockette, Communications in Statistics
1995; degrees of freedom of Hillis, Statistics in Medicine 2007), with trainings as readers: the
interval holds for other patients like these and for other seeds, not for another generator.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.stats import t

from cxr_contracts import Interval
from cxr_training.metrics.bootstrap import FloatArray

Key = TypeVar("Key")
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds."""

    interval: Interval
    p: float
    """Two-sided, of the mean being zero; not corrected."""
    error_of_seeds: float
    """Standard error that the trainings' luck makes."""
    error_of_patients: float
    """Standard error that the choice of patients makes."""


def estimate(draws: FloatArray) -> Estimate:
    """The mean over seeds of one figure, or of a difference of two.

    Args:
        draws: [S, 1 + B] of at least two seeds: first the figure on the patients themselves, then
            on each resample of them, the same resamples for all seeds. A resample on which it is
            not defined (NaN) is left out.
    """
    n_seeds = len(draws)
    values, resampled = draws[:, 0], draws[:, 1:]
    resampled = resampled[:, ~np.isnan(resampled).any(axis=0)]
    of_seeds = float(values.var(ddof=1)) / n_seeds
    # What the trainings have in common over resamples is the patients' part.
    shared = np.cov(resampled) if resampled.shape[1] > 1 else np.zeros((n_seeds, n_seeds))
    between = shared[~np.eye(n_seeds, dtype=bool)]
    of_patients = max(float(between.mean()), 0.0)
    variance = of_seeds + of_patients
    mean = float(values.mean())
    if variance == 0:
        interval = Interval(value=mean, low=mean, high=mean)
        return Estimate(interval, 0.0 if mean else 1.0, 0.0, 0.0)
    freedom = variance**2 * (n_seeds - 1) / of_seeds**2 if of_seeds else np.inf
    error = float(np.sqrt(variance))
    margin = float(t.ppf(1 - LEVEL / 2, freedom)) * error
    return Estimate(
        interval=Interval(value=mean, low=mean - margin, high=mean + margin),
        p=float(2 * t.sf(abs(mean) / error, freedom)),
        error_of_seeds=float(np.sqrt(of_seeds)),
        error_of_patients=float(np.sqrt(of_patients)),
    )


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """The p values corrected for being several (Holm, Scandinavian Journal of Statistics 1979)."""
    corrected: dict[Key, float] = {}
    least = 0.0
    for rank, (key, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, value * (len(p) - rank)))
        corrected[key] = least
    return {key: corrected[key] for key in p}
