"""Does the published classifier see the label that an image was asked for?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import Interval
from cxr_gan.judging.extractor import ClassifierFeatures, Features
from cxr_gan.judging.features import features_of
from cxr_gan.published import Synthesizer
from cxr_training.metrics.bootstrap import interval_of, patient_weights
from cxr_training.metrics.classification import auroc, aurocs

FIGURE = "label_auroc"
FEWEST_POSITIVES = 5


@dataclass(frozen=True, slots=True)
class LabelSeen:
    """AUROC of a label among samples asked with it against those asked without, and among reals."""

    label: str
    samples: Interval
    real: Interval | None
    n: int


def labels_seen(
    synthesizer: Synthesizer,
    classifier: ClassifierFeatures,
    real_features: Features,
    real_findings: Sequence[frozenset[str]],
    patients: Sequence[str],
    *,
    each: int,
    first_seed: int,
    resamples: int,
) -> list[LabelSeen]:
    """One for each label that the generator takes and the classifier knows.

    Args:
        synthesizer: the generator.
        classifier: whose opinion is asked.
        real_features: of held-out radiographs, in the classifier's features.
        real_findings: of them.
        patients: of them.
        each: images asked for with each label alone, and as many with none.
        first_seed: of them.
        resamples: of the intervals.
    """
    known = [label for label in synthesizer.spec.labels if label in classifier.labels]
    asked = [frozenset({label}) for label in known for _ in range(each)]
    asked += [frozenset()] * each
    seeds = range(first_seed, first_seed + len(asked))
    images = synthesizer.images(seeds, synthesizer.asked(asked))
    said = classifier.logits(features_of(classifier, images, "labels"))
    said_of_real = classifier.logits(real_features)
    found = []
    for label in known:
        column = classifier.labels.index(label)
        of_samples = _auroc(asked, said[:, column], [str(s) for s in seeds], label, resamples)
        of_real = _auroc(real_findings, said_of_real[:, column], patients, label, resamples)
        if of_samples is not None:
            found.append(LabelSeen(label, of_samples, of_real, len(asked)))
    return found


def _auroc(
    findings: Sequence[frozenset[str]],
    scores: Features,
    groups: Sequence[str],
    label: str,
    resamples: int,
) -> Interval | None:
    targets = np.array([label in names for names in findings])
    if min(targets.sum(), (~targets).sum()) < FEWEST_POSITIVES:
        return None
    draws = aurocs(targets, scores, patient_weights(groups, resamples, 0))
    return interval_of(auroc(targets, scores), draws)
