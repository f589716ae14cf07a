"""Probabilities and yes or no for each image and label, as they are judged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import LabelSpec
from cxr_training.classifier.answers import Answers, BoolArray
from cxr_training.classifier.calibration import Platt, cross_fitted, fit_label, patient_folds
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.samples import LABELS
from cxr_training.metrics.bootstrap import FloatArray


@dataclass(frozen=True, slots=True)
class Decisions:
    """The shipped calibration, and what is judged of it: [N, 14] each.

    `fitted` says that calibration and thresholds were fitted on the judged images; probabilities
    and decisions are then cross-fitted, each image's from the patients of other folds.
    """

    labels: tuple[LabelSpec, ...]
    probabilities: FloatArray
    positive: BoolArray
    fitted: bool


def fitted_decisions(answers: Answers, config: Evaluation, seed: int) -> Decisions:
    """Calibration and thresholds fitted on all the images; decisions cross-fitted over patients."""
    fold = patient_folds(answers.patients.tolist(), config.calibration_folds, seed)
    labels, probabilities, positive = [], [], []
    for column, label in enumerate(LABELS):
        targets, logits = answers.targets[:, column], answers.logits[:, column]
        stated = config.stated_sensitivity(label)
        labels.append(fit_label(label.value, targets, logits, config.min_positives, stated))
        held_out = cross_fitted(targets, logits, fold, config.min_positives, stated)
        probabilities.append(held_out[0])
        positive.append(held_out[1])
    return Decisions(
        tuple(labels), np.stack(probabilities, axis=1), np.stack(positive, axis=1), fitted=True
    )


def shipped_decisions(answers: Answers, labels: Sequence[LabelSpec]) -> Decisions:
    """By a calibration and thresholds that owe nothing to these images.

    Args:
        answers: the images.
        labels: the fourteen, in any order.
    """
    by_name = {label.name: label for label in labels}
    ordered = tuple(by_name[label.value] for label in LABELS)
    probabilities = np.stack(
        [
            Platt(label.slope, label.intercept).probability(answers.logits[:, column])
            for column, label in enumerate(ordered)
        ],
        axis=1,
    )
    positive = probabilities >= np.array([label.threshold for label in ordered])
    return Decisions(ordered, probabilities, positive, fitted=False)
