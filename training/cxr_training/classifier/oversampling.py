"""Classical oversampling: training images of rare labels stand several times in an epoch."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cxr_contracts import Finding
from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.data.splits import Split

RowArray = npt.NDArray[np.intp]


def added_rows(samples: Samples, to: Mapping[Finding, int], seed: int) -> dict[Finding, RowArray]:
    """Of each label the training rows to show once more, so that it has `to` images in all.

    The label's images take turns, in an order of their own, so that fewer additions are the first
    of more. What else is on an image comes along, and is not counted for other labels: each
    label's additions follow from its own images alone.

    Args:
        samples: a label of `to` without a training image gets none.
        to: images of each label in an epoch; no more than there are adds nothing.
        seed: of the order.
    """
    rows = samples.rows(Split.TRAIN)
    added: dict[Finding, RowArray] = {}
    for label, wanted in to.items():
        column = LABELS.index(label)
        positive = rows[samples.targets[rows, column] > 0]
        order = np.random.default_rng((seed, column)).permutation(positive)
        added[label] = np.resize(order, max(0, wanted - len(positive)) if len(positive) else 0)
    return added
