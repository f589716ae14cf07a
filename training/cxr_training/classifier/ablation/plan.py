"""The arms of an ablation, from one YAML file."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxr_training.core.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """A training of its own: the recipe with `set` changed."""

    says: str = Field(description="What is other than in the recipe, for a table's line.")
    against: str | None = Field(default=None, description="The arm it is compared with.")
    set: tuple[str, ...] = Field(default=(), description="Overrides, section.key=value.")


class OtherReading(_Strict):
    """Another way to read the trained network of an arm."""

    says: str
    of: str = Field(description="The arm, which it is also compared with.")
    weights: Literal["average", "network"] = "average"
    mirrored: bool = Field(default=False, description="Mean with the mirror image's logits.")


class Plan(_Strict):
    """All arms, in the order in which they are run."""

    budget: tuple[str, ...] = Field(description="Overrides of every arm.")
    arms: dict[str, Arm] = Field(min_length=1)
    readings: dict[str, OtherReading]

    @model_validator(mode="after")
    def _references_exist(self) -> "Plan":
        for name, arm in self.arms.items():
            if arm.against is not None and arm.against not in self.arms:
                raise ValueError(f"{name} is compared with {arm.against}, which is no arm")
        for name, reading in self.readings.items():
            if reading.of not in self.arms:
                raise ValueError(f"{name} reads {reading.of}, which is no arm")
            if name in self.arms:
                raise ValueError(f"{name} is both an arm and a reading")
        return self


def load_plan(path: Path) -> Plan:
    """The plan of `path`.

    Raises:
        ConfigError: no such file, an unknown key, a comparison with an arm that is not there.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    try:
        return Plan.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
