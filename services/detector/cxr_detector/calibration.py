"""From a network's score to how likely the box is right: a Platt scaling of the score's logit."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
# Beyond these a logit says more of the rounding of a score than of the radiograph.
_SMALLEST, _LARGEST = 1e-4, 1 - 1e-4


def logit(score: npt.ArrayLike) -> FloatArray:
    """ln(p / (1 - p)) of scores 0..1, kept within ±9.2."""
    clipped = np.clip(np.asarray(score, np.float64), _SMALLEST, _LARGEST)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def calibrated(score: npt.ArrayLike, slope: npt.ArrayLike, intercept: npt.ArrayLike) -> FloatArray:
    """sigmoid(slope * logit(score) + intercept), 0..1; rises with the score where `slope` > 0."""
    z = np.asarray(slope) * logit(score) + np.asarray(intercept)
    # tanh does not overflow.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))
