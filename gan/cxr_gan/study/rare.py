"""Which labels are rare, and how many images of each an arm adds: by counts, never by hand."""

from dataclasses import dataclass

import numpy as np

from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_gan.study.plan import BALANCE, RareRule, Share
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.samples import LABELS, Samples, masked_targets
from cxr_training.data.splits import Split

Counts = dict[Finding, int]


@dataclass(frozen=True, slots=True)
class RareLabels:
    """What counting has found."""

    labels: tuple[Finding, ...]
    """The rare ones, the rarest first."""
    training: Counts
    """Positive images of each label, of training patients."""
    validation: Counts
    """The same of validation patients, where the label is judged."""
    balance_to: int
    judged: tuple[Finding, ...]
    """Labels, rare or not, with enough positives among the validation images."""

    @property
    def judged_rare(self) -> tuple[Finding, ...]:
        """The rare labels on which arms are compared."""
        return tuple(label for label in self.judged if label in self.labels)

    def totals(self, share: Share) -> Counts:
        """Of each rare label, the images that an arm of this share has in all, real ones too."""
        if share == BALANCE:
            return {x: max(self.balance_to, self.training[x]) for x in self.labels}
        return {x: self.training[x] + round(share * self.training[x]) for x in self.labels}

    def added(self, share: Share) -> int:
        """How many images an arm of this share adds."""
        return sum(self.totals(share).values()) - sum(self.training[x] for x in self.labels)


def find_rare(samples: Samples, rule: RareRule, config: ClassifierConfig) -> RareLabels:
    """The rare labels among real `samples`.

    A label that the recipe learns within some sources alone is never rare here: the loss ignores
    it on files as small as a generator's, so that such images could teach nothing of it.

    Raises:
        GanError: the rule asks for more labels than there are, or none of them can be judged.
    """
    trained = samples.targets[samples.rows(Split.TRAIN)].sum(axis=0)
    masked = masked_targets(samples, config.sources_by_label)[samples.rows(Split.VALIDATION)]
    validated = (masked == 1).sum(axis=0)
    training = {label: int(n) for label, n in zip(LABELS, trained, strict=True)}
    validation = {label: int(n) for label, n in zip(LABELS, validated, strict=True)}
    everywhere = [label for label in LABELS if label not in config.sources_by_label]
    if rule.labels >= len(everywhere):
        raise GanError(
            f"rare.labels={rule.labels}: only {len(everywhere)} labels are learned from files of "
            "every size, and some must be left that are not rare"
        )
    rare = sorted(everywhere, key=lambda label: training[label])[: rule.labels]
    others = [training[label] for label in LABELS if label not in rare]
    found = RareLabels(
        labels=tuple(rare),
        training=training,
        validation=validation,
        balance_to=int(np.median(others)),
        judged=tuple(x for x in LABELS if validation[x] >= rule.least_validation),
    )
    if not found.judged_rare:
        raise GanError(
            f"none of the rare labels ({', '.join(rare)}) has {rule.least_validation} positive "
            "validation images: add radiographs, or set rare.least_validation lower"
        )
    return found
