"""The study's outcome: all that the page and the pictures are made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from cxr_gan.study.effects import MEANS, Effect
from cxr_gan.study.plan import Arm, Plan
from cxr_gan.study.rare import RareLabels


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a finished study."""

    plan: Plan
    seeds: tuple[int, ...]
    rare: RareLabels
    effects: tuple[Effect, ...]
    side_px: int
    """Of the classifiers' input."""
    n_training: int
    """Real training images."""
    n_validation: int
    n_patients: int
    """Of validation."""
    resamples: int
    sources: tuple[str, ...]
    """What the real images are, a sentence a set."""
    retrain: Mapping[str, str]
    """Of each arm that could win, the commands that train the published recipe with it."""
    smoke: bool

    def effect(self, arm: str, figure: str) -> Effect:
        """Over the reference, whose own effects have no gain."""
        against = None if arm == self.plan.reference else self.plan.reference
        return next(
            effect
            for effect in self.effects
            if (effect.arm, effect.against, effect.figure) == (arm, against, figure)
        )

    def label_effects(self, figure: str) -> list[Effect]:
        """Of right labels over shuffled ones, images alike."""
        controls = self.plan.label_controls
        return [
            effect
            for effect in self.effects
            if effect.against in controls and effect.figure == figure
        ]

    @property
    def synthetic(self) -> dict[str, Arm]:
        """The arms that could win by synthetic images."""
        return {x: arm for x, arm in self.plan.candidates.items() if arm.generator is not None}

    @property
    def winners(self) -> list[str]:
        """Arms better than real images alone in one mean and not worse in the other."""
        found = []
        for name in self.plan.candidates:
            effects = [self.effect(name, figure) for figure in MEANS]
            if any(x.wins for x in effects) and not any(x.loses for x in effects):
                found.append(name)
        return found
