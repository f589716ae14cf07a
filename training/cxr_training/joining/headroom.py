"""What stands between a detector's boxes and a full average precision: the film, or the place.

Two limits on the same boxes: their average precision if it were known which films have their
class, which is what a perfect classifier could add; and the share of drawn boxes that any of them
hits at all, however low its score, which is what no new order can pass.
"""

import numpy as np

from cxr_training.data.annotations import REGIONS
from cxr_training.detector.scoring import FloatArray
from cxr_training.rescoring.answers import Answers
from cxr_training.rescoring.judging import HeldOut


def perfect_opinion(answers: Answers) -> HeldOut:
    """The detector's order, with every box of a class that its film does not have behind all."""
    present = answers.truth[answers.image, answers.label] > 0
    # Scores are within 0..1, so these are below every other and keep their order.
    order = np.where(present, answers.score, answers.score - 2.0)
    return HeldOut(scores=np.clip(order, 0.0, 1.0), ranking=order)


def reached(answers: Answers, weights: FloatArray) -> FloatArray:
    """The share of drawn boxes that some box hits at IoU 0.5, [regions + 1, 1 + resamples].

    The last row is of all regions together; NaN where nothing is drawn.

    Args:
        answers: of all radiographs.
        weights: [1 + resamples, n] of the radiographs.
    """
    n = len(answers.patients)
    hits = np.zeros((n, len(REGIONS)))
    hit = answers.hit[:, 0] & answers.judged()
    np.add.at(hits, (answers.image[hit], answers.label[hit]), 1.0)
    drawn = np.where(answers.known, answers.truth, 0)
    found, there = weights @ hits, weights @ drawn
    found = np.column_stack([found, found.sum(axis=1)]).T
    there = np.column_stack([there, there.sum(axis=1)]).T
    share: FloatArray = np.divide(found, there, out=np.full(found.shape, np.nan), where=there > 0)
    return share
