"""The constants of a rescoring, and scores of patients whom they have not seen.

A box's odds rise with what the classifier says beyond the usual, the form `lifted`:
sigmoid(logit(score) + b * (logit(probability) - m)). m is the classifier's mean logit for the
finding, so that no kind of region gains on another by being common; b is one number for all, the
most probable for "this box is right" (IoU of at least 0.5). A region without a finding of the
classifier keeps its score.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from cxr_contracts import RescoringManifest
from cxr_gateway.analysis.rescoring import logit
from cxr_training.data.annotations import REGIONS
from cxr_training.metrics.detection import FloatArray
from cxr_training.rescoring.predictions import HAS_FINDING, Predictions

FOLDS = 5
# Boxes below are nearly all wrong, and so many that they alone would decide the weight.
FIT_MIN_SCORE = 0.01
_LARGEST_WEIGHT = 3.0


@dataclass(frozen=True, slots=True)
class Scored:
    """The detections under one way of scoring."""

    scores: FloatArray
    """[D], 0..1."""
    ranking: FloatArray
    """[D], the order within each region, the same for all folds (`Constants.ranking`)."""


@dataclass(frozen=True, slots=True)
class Constants:
    """What the gateway computes with, each [regions]."""

    score_weight: FloatArray
    probability_weight: FloatArray
    intercept: FloatArray

    @classmethod
    def of(cls, manifest: RescoringManifest) -> "Constants":
        """Those of a published rescoring."""
        by_region = {one.region: one for one in manifest.regions}
        names = ("score_weight", "probability_weight", "intercept")
        return cls(
            *(np.array([getattr(by_region[region], name) for region in REGIONS]) for name in names)
        )

    def scored(self, predictions: Predictions, centres: FloatArray) -> Scored:
        """The rescored detections; `centres` as in `ranking`."""
        return Scored(self.scores(predictions), self.ranking(predictions, centres))

    def scores(self, predictions: Predictions) -> FloatArray:
        """The rescored score [D] of each detection."""
        label = predictions.label
        z = self.score_weight[label] * logit(predictions.score) + self.intercept[label]
        z += self.probability_weight[label] * predictions.class_logits()
        rescored: FloatArray = 1.0 / (1.0 + np.exp(-z))
        return rescored

    def ranking(self, predictions: Predictions, centres: FloatArray) -> FloatArray:
        """[D], the order within each region alone: what two folds' constants agree on.

        A region's average precision depends on b / a only. Between two fits c differs by chance,
        and pooling their scores would cost even the detector's own order some precision.

        Args:
            predictions: on any radiographs.
            centres: [regions], a usual logit of the classifier, the same for all folds.
        """
        label = predictions.label
        ratio = (self.probability_weight / self.score_weight)[label]
        return logit(predictions.score) + ratio * (predictions.class_logits() - centres[label])


Fit = Callable[[Predictions], Constants]


def detector_alone(_predictions: Predictions) -> Constants:
    """The detector's own score."""
    n = len(REGIONS)
    return Constants(np.ones(n), np.zeros(n), np.zeros(n))


def lifted(predictions: Predictions) -> Constants:
    """The detector's own odds, moved by the classifier's surprise."""
    centres = predictions.mean_class_logits()
    chosen = predictions.is_known & (predictions.score >= FIT_MIN_SCORE)
    label, right = predictions.label[chosen], predictions.hit[chosen, 0]
    own = logit(predictions.score[chosen])
    surprise = predictions.class_logits()[chosen] - centres[label]

    def loss(weight: float) -> float:
        z = own + weight * surprise
        return float((np.logaddexp(0.0, z) - right * z).sum())

    weight = float(minimize_scalar(loss, bounds=(0.0, _LARGEST_WEIGHT), method="bounded").x)
    weights = np.where(HAS_FINDING, weight, 0.0)
    return Constants(np.ones(len(REGIONS)), weights, -weights * centres)


def held_out(fit: Fit, predictions: Predictions) -> Scored:
    """Each fold's detections under the constants fitted to the other folds."""
    fold = fold_of(predictions.patients)
    centres = predictions.mean_class_logits()
    scores, ranking = np.zeros(len(predictions.score)), np.zeros(len(predictions.score))
    for left_out in np.unique(fold):
        scored = fit(predictions.of_images(fold != left_out)).scored(predictions, centres)
        inside = fold[predictions.image] == left_out
        scores[inside], ranking[inside] = scored.scores[inside], scored.ranking[inside]
    return Scored(scores, ranking)


def fold_of(patients: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """The fold of each radiograph, by its patient's number alone."""
    # The prefix keeps the folds of the rescorings that were published first.
    digests = (hashlib.sha256(f"cxr-joining-1:{patient}".encode()) for patient in patients)
    return np.array([int.from_bytes(digest.digest()[:4], "big") % FOLDS for digest in digests])
