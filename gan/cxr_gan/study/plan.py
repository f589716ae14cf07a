"""The arms of the study and what all of them share, from one YAML file; which labels are rare."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from cxr_contracts import Finding
from cxr_gan.errors import GanError
from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.classifier.samples import LABELS, Samples, masked_targets
from cxr_training.core.config import Section, read_config
from cxr_training.data.splits import Split

Kind = Literal["real", "oversampled", "synthetic"]
BALANCE: Literal["balance"] = "balance"
Share = float | Literal["balance"]
Counts = dict[Finding, int]
_GIVEN: dict[Kind, tuple[str, ...]] = {
    "real": (),
    "oversampled": ("share",),
    "synthetic": ("generator", "share"),
}


class Arm(Section):
    """What one classifier trains on."""

    title: str = Field(description="For a table's line.")
    kind: Kind
    generator: str | None = None
    share: Share | None = Field(
        default=None,
        description="Images added of each rare label, of its real count; or to balance.",
    )
    shuffled: bool = Field(default=False, description="Each image gets another's labels.")

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "Arm":
        for name in ("generator", "share"):
            wanted, given = name in _GIVEN[self.kind], getattr(self, name) is not None
            if wanted != given:
                verb = "needs" if wanted else "has no use for"
                raise ValueError(f"an arm of kind {self.kind} {verb} `{name}`")
        if isinstance(self.share, float) and self.share <= 0:
            raise ValueError("`share` must be above 0")
        if self.shuffled and self.kind != "synthetic":
            raise ValueError(f"an arm of kind {self.kind} has no labels to shuffle")
        return self


class RareRule(Section):
    """Which labels are rare, by counts alone."""

    labels: int = Field(gt=0, description="So many with the fewest positive training images.")
    least_validation: int = Field(
        gt=0, description="Positive validation images without which a label is not evaluated."
    )


class Plan(Section):
    """The whole study."""

    recipe: Path
    budget: tuple[str, ...] = Field(description="Overrides of the recipe, for every arm.")
    steps: int = Field(gt=1, description="Of the optimiser, the same in every arm.")
    seeds: tuple[int, ...]
    rare: RareRule
    arms: dict[str, Arm] = Field(min_length=2)

    @model_validator(mode="after")
    def _has_one_reference(self) -> "Plan":
        real = [name for name, arm in self.arms.items() if arm.kind == "real"]
        if len(real) != 1:
            raise ValueError(f"one arm must be of kind real, and {len(real)} are")
        return self

    @property
    def reference(self) -> str:
        """The arm that the others are compared with."""
        return next(name for name, arm in self.arms.items() if arm.kind == "real")

    @property
    def label_controls(self) -> dict[str, str]:
        """Each arm with shuffled labels, and the one that differs from it in the labels alone."""
        right = {"title": "", "shuffled": False}
        plain = {name: arm.model_copy(update=right) for name, arm in self.arms.items()}
        return {
            control: name
            for control, arm in self.arms.items()
            for name, other in self.arms.items()
            if arm.shuffled and not other.shuffled and plain[name] == plain[control]
        }

    def config(self, seed: int, arm: Arm, rare: "RareLabels | None" = None) -> ClassifierConfig:
        """The recipe of one training; ConfigError as `load_config`."""
        own = [f"seed={seed}", "members=1", "training.epochs=1"]
        own.append(f"training.steps_per_epoch={self.steps}")
        if arm.kind == "oversampled" and rare is not None:
            totals = ", ".join(f"{x}: {n}" for x, n in rare.totals(arm.share).items())
            own.append(f"training.oversampled_to={{{totals}}}")
        return load_config(self.recipe, (*self.budget, *own))


def load_plan(path: Path) -> Plan:
    """The plan of `path`; ConfigError for no such file or a key that cannot be used."""
    return read_config(Plan, path)


@dataclass(frozen=True, slots=True)
class RareLabels:
    """What counting has found."""

    labels: tuple[Finding, ...]
    """The rare ones, the rarest first."""
    training: Counts
    """Positive images of each label, of training patients."""
    validation: Counts
    """The same of validation patients, where the label is evaluated."""
    balance_to: int
    """As many as the median label among the others has."""
    evaluated: tuple[Finding, ...]
    """Labels, rare or not, with enough positives among the validation images."""

    @property
    def evaluated_rare(self) -> tuple[Finding, ...]:
        """The rare labels on which arms are compared."""
        return tuple(label for label in self.evaluated if label in self.labels)

    def totals(self, share: Share | None) -> Counts:
        """Of each rare label, the images that an arm of this share has in all, real ones too."""
        if share == BALANCE:
            return {x: max(self.balance_to, self.training[x]) for x in self.labels}
        return {x: self.training[x] + round((share or 0) * self.training[x]) for x in self.labels}

    def added(self, share: Share | None) -> int:
        """How many images an arm of this share adds."""
        return sum(self.totals(share).values()) - sum(self.training[x] for x in self.labels)


def find_rare(samples: Samples, rule: RareRule, config: ClassifierConfig) -> RareLabels:
    """The rare labels among real `samples`.

    A label that the recipe learns within some sources alone is never rare here: the loss ignores
    it on files as small as a generator's, so that such images could teach nothing of it.

    Raises:
        GanError: the rule asks for more labels than there are, or none of them can be evaluated.
    """
    trained = samples.targets[samples.rows(Split.TRAIN)].sum(axis=0)
    targets = masked_targets(samples, config.sources_by_label)[samples.rows(Split.VALIDATION)]
    training = {label: int(n) for label, n in zip(LABELS, trained, strict=True)}
    validation = {x: int(n) for x, n in zip(LABELS, (targets == 1).sum(axis=0), strict=True)}
    everywhere = [label for label in LABELS if label not in config.sources_by_label]
    if rule.labels >= len(everywhere):
        raise GanError(
            f"rare.labels={rule.labels}: only {len(everywhere)} labels are learned from files of "
            "every size, and some must be left that are not rare"
        )
    rare = sorted(everywhere, key=lambda label: training[label])[: rule.labels]
    found = RareLabels(
        labels=tuple(rare),
        training=training,
        validation=validation,
        balance_to=int(np.median([training[label] for label in LABELS if label not in rare])),
        evaluated=tuple(x for x in LABELS if validation[x] >= rule.least_validation),
    )
    if not found.evaluated_rare:
        raise GanError(
            f"none of the rare labels ({', '.join(rare)}) has {rule.least_validation} positive "
            "validation images: add radiographs, or set rare.least_validation lower"
        )
    return found
