"""Drawing the radiographs of rare classes more often: repeat factors (Gupta et al., LVIS, 2019)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def repeat_factors(
    labels: Sequence[npt.NDArray[np.intp]], n_classes: int, rare_share: float
) -> npt.NDArray[np.float64]:
    """How often to draw each image, beside the others: [images], at least 1.

    A class that stands on the share f of the images, f < `rare_share`, asks for
    sqrt(rare_share / f); an image gets what its rarest class asks for.

    Args:
        labels: the classes on each image; numbers from `n_classes` up are no classes.
        n_classes: how many there are.
        rare_share: 0 to 1.
    """
    present = np.zeros((len(labels), n_classes), dtype=bool)
    for row, classes in enumerate(labels):
        present[row, classes[classes < n_classes]] = True
    share = present.mean(axis=0)
    asked = np.sqrt(rare_share / np.maximum(share, 1.0 / max(len(labels), 1)))
    factors: npt.NDArray[np.float64] = np.where(present, np.maximum(asked, 1.0), 1.0).max(axis=1)
    return factors
