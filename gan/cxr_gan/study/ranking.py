"""Labels for the images of a generator that takes none, from a teacher.

The teacher is the study's own classifier of the same seed, trained on the real training images
alone, so that nothing of a validation patient reaches a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import Finding
from cxr_training.classifier.samples import LABELS

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Some images of a pool."""

    places: tuple[int, ...]
    """Where each stands in the pool; none twice."""
    stated: tuple[frozenset[str], ...]
    """The findings that each is given."""


def choose(
    logits: Logits, frequency: Mapping[Finding, float], wanted: Mapping[Finding, int]
) -> Chosen:
    """For each label the images of the pool that the teacher holds most likely to show it.

    The pool is labelled as if it were as diseased as the radiographs that the generator learnt
    from: each label goes to the highest scores, to as large a share as it has among those. An
    image that is taken for a label has that label in any case. Labels choose in turn, the first
    of `wanted` before the others, and an image is taken once.

    Args:
        logits: the teacher's, [pool, 14].
        frequency: of each label among the training radiographs, 0 to 1.
        wanted: how many images of each.

    Raises:
        ValueError: the pool is too small.
    """
    if sum(wanted.values()) > len(logits):
        raise ValueError(f"{sum(wanted.values())} images from a pool of {len(logits)}")
    order = np.argsort(-logits, axis=0, kind="stable")
    has = np.zeros(logits.shape, dtype=bool)
    for column, label in enumerate(LABELS):
        has[order[: round(frequency[label] * len(logits)), column], column] = True
    taken: dict[int, Finding] = {}
    for label, n in wanted.items():
        free = [int(x) for x in order[:, LABELS.index(label)] if int(x) not in taken]
        taken |= dict.fromkeys(free[:n], label)
    stated = [
        frozenset(label.value for label, one in zip(LABELS, has[place], strict=True) if one)
        | {sought.value}
        for place, sought in taken.items()
    ]
    return Chosen(tuple(taken), tuple(stated))
