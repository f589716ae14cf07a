"""What a probability was worth: in bins of equally many images, how many had the finding."""

from dataclasses import dataclass

import numpy as np

from cxr_contracts import Interval
from cxr_training.classifier.answers import Answers
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.decisions import Decisions
from cxr_training.classifier.samples import LABELS
from cxr_training.metrics.bootstrap import interval_of, patient_weights
from cxr_training.metrics.classification import equal_bins

BINS = 10


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images of one label whose probabilities are neighbours.

    `probability` is their mean; `frequency` the share that has the finding. The gaps between the
    two, weighted by `n`, are the label's ECE.
    """

    label: str
    number: int
    n: int
    n_positive: int
    probability: float
    frequency: Interval


def reliability(
    answers: Answers, decisions: Decisions, config: Evaluation, seed: int
) -> list[ReliabilityBin]:
    """`BINS` bins of every label, from the least probable images to the most.

    The intervals are over resampled patients, each image staying in its bin.
    """
    weights = patient_weights(answers.patients.tolist(), config.resamples, seed)
    found: list[ReliabilityBin] = []
    n = len(answers)
    bin_of = equal_bins(np.arange(1, n + 1) / n, BINS)
    for column, label in enumerate(LABELS):
        order = np.argsort(decisions.probabilities[:, column], kind="stable")
        for number in range(BINS):
            inside = order[bin_of == number]
            if not inside.size:
                continue
            targets, lines = answers.targets[inside, column], weights[:, inside]
            seen = lines.sum(axis=1)
            draws = np.divide(
                lines @ targets, seen, out=np.full(len(lines), np.nan), where=seen > 0
            )
            found.append(
                ReliabilityBin(
                    label=label.value,
                    number=number + 1,
                    n=inside.size,
                    n_positive=int(targets.sum()),
                    probability=float(decisions.probabilities[inside, column].mean()),
                    frequency=interval_of(float(targets.mean()), draws),
                )
            )
    return found
