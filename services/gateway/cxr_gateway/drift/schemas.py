"""The public answer about drift."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import ModelIdentity
from cxr_gateway.drift.psi import DriftFlag


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftReferenceFacts(_Answer):
    """What the weeks are held against."""

    name: str
    created_at: str
    ood: ModelIdentity
    classifier: ModelIdentity
    films: int
    patients: int
    split: str = Field(description="Whose films these are, e.g. `validation`.")


class DriftRules(_Answer):
    """When something is flagged."""

    watch: float = Field(description="From this PSI on, to be watched.")
    drifted: float = Field(description="From this PSI on, drifted.")
    min_images: int = Field(description="A week with fewer films is not judged.")


class DriftWeek(_Answer):
    """The films of an ISO week, by the time at which they were received, in UTC."""

    week: str = Field(description="E.g. `2026-W47`.")
    starts_on: date
    films: int
    compared: int = Field(description="At most the latest 5,000, of the reference's models.")
    refused: int = Field(description="Of those compared, by the gate; only its score counts.")
    other_models: int = Field(description="Read by other models, and compared with nothing.")


class DriftBin(_Answer):
    """A part of a distribution: a word, or the values from `low` on and below `high`."""

    label: str
    low: float | None
    high: float | None
    share: float = Field(description="Of the reference's films, 0..1.")


class WeekOfStatistic(_Answer):
    """One distribution in one week."""

    week: str
    films: int = Field(description="Those of which the value is known.")
    psi: float | None = Field(description="Null where there are too few films.")
    flag: DriftFlag
    shares: list[float] | None = Field(description="Of each bin, 0..1; null without films.")


class DriftStatistic(_Answer):
    """One distribution: the reference's, and week by week."""

    name: str
    kind: Literal["number", "category"]
    about: Literal["input", "score"]
    flag: DriftFlag = Field(description="In the week that is judged.")
    psi: float | None = Field(description="Likewise.")
    bins: list[DriftBin]
    weeks: list[WeekOfStatistic] = Field(description="The latest last.")


class DriftReport(_Answer):
    """The weeks against the reference."""

    summary: str = Field(description="What a person is to know, a sentence or two.")
    judged_week: str | None = Field(description="The latest week with enough films.")
    reference: DriftReferenceFacts | None = Field(
        description="Null where none was made with the models that answer."
    )
    rules: DriftRules
    weeks: list[DriftWeek] = Field(description="The latest last.")
    statistics: list[DriftStatistic] = Field(
        description="Drifted first, then those to be watched; none without a reference."
    )
