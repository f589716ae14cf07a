"""The arms of the study and what all of them share, from one YAML file."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxr_training.classifier.config import ClassifierConfig, load_config
from cxr_training.core.errors import ConfigError

Kind = Literal["real", "oversampled", "synthetic", "pretrained"]
BALANCE: Literal["balance"] = "balance"
Share = float | Literal["balance"]
_GIVEN: dict[Kind, tuple[str, ...]] = {
    "real": (),
    "oversampled": ("share",),
    "synthetic": ("generator", "share"),
    "pretrained": ("generator",),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """What one classifier trains on."""

    says: str = Field(description="For a table's line.")
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
                says = "needs" if wanted else "has no use for"
                raise ValueError(f"an arm of kind {self.kind} {says} `{name}`")
        if isinstance(self.share, float) and self.share <= 0:
            raise ValueError("`share` must be above 0")
        if self.shuffled and self.kind != "synthetic":
            raise ValueError(f"an arm of kind {self.kind} has no labels to shuffle")
        return self


class RareRule(_Strict):
    """Which labels are rare, by counts alone."""

    labels: int = Field(gt=0, description="So many with the fewest positive training images.")
    least_validation: int = Field(
        gt=0, description="Positive validation images without which a label is not judged."
    )


class Pretraining(_Strict):
    """Of an arm that is trained on synthetic images first."""

    images: int = Field(gt=0)
    steps_share: float = Field(gt=0, lt=1, description="Of the steps that every arm has.")


class Plan(_Strict):
    """The whole study."""

    recipe: Path
    budget: tuple[str, ...] = Field(description="Overrides of the recipe, for every arm.")
    steps: int = Field(gt=1, description="Of the optimiser, the same in every arm.")
    seeds: tuple[int, ...]
    gpu_seeds: tuple[int, ...] = Field(description="Where there is a GPU.")
    rare: RareRule
    pretraining: Pretraining
    pool: int = Field(
        gt=0, description="Images of a generator without labels, among which labels are sought."
    )
    dose_of: str = Field(description="The generator whose shares are swept.")
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
    def candidates(self) -> dict[str, Arm]:
        """The arms that could win: all but the reference and those whose labels tell nothing."""
        return {x: arm for x, arm in self.arms.items() if arm.kind != "real" and not arm.shuffled}

    @property
    def dose(self) -> list[str]:
        """The arms of the sweep, in the plan's order."""
        return [
            name
            for name, arm in self.arms.items()
            if arm.kind == "synthetic" and arm.generator == self.dose_of and not arm.shuffled
        ]

    @property
    def label_controls(self) -> dict[str, str]:
        """Each arm with shuffled labels, and the one that differs from it in the labels alone."""
        return {
            name: other
            for name, arm in self.arms.items()
            for other, same in self.arms.items()
            if arm.shuffled
            and not same.shuffled
            and (same.kind, same.generator, same.share) == (arm.kind, arm.generator, arm.share)
        }

    def config(self, seed: int, steps: int, *overrides: str) -> ClassifierConfig:
        """The recipe of one training of so many steps; ConfigError as `load_config`."""
        own = (f"seed={seed}", "members=1", "training.epochs=1", "training.max_minutes=null")
        return load_config(
            self.recipe,
            (*self.budget, *overrides, *own, f"training.steps_per_epoch={steps}"),
        )


def load_plan(path: Path) -> Plan:
    """The plan of `path`; ConfigError for no such file or a key that cannot be used."""
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        said = problem["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {where + ': ' if where else ''}{said}") from error
