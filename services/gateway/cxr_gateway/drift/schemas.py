"""The public response about drift."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import ModelIdentity
from cxr_gateway.core.schemas import Count, Share
from cxr_gateway.drift.psi import DriftFlag

# The population stability index: 0 for the same distribution, without an upper end.
Psi = Annotated[float, Field(ge=0.0)]


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftReferenceSummary(_Output):
    """What the weeks are compared with."""

    name: str = Field(description="Of the reference's folder.")
    created_at: datetime = Field(description="When it was measured.")
    ood: ModelIdentity = Field(description="The OOD detector that it was measured with.")
    classifier: ModelIdentity = Field(description="The classifier that it was measured with.")
    images: Count = Field(description="How many images were measured.")
    patients: Count = Field(description="Of how many patients.")
    split: str = Field(description="Whose images these are, e.g. `validation`.")


class DriftRules(_Output):
    """When something is flagged."""

    watch: Psi = Field(description="From this PSI on, to be watched.")
    drifted: Psi = Field(description="From this PSI on, drifted.")
    min_images: Count = Field(description="A week with fewer images is not evaluated.")


class DriftWeek(_Output):
    """The images of an ISO week, by the time at which they were received, in UTC."""

    week: str = Field(description="E.g. `2026-W47`.")
    starts_on: date = Field(description="Its Monday.")
    images: Count = Field(description="How many came.")
    compared: Count = Field(description="At most the latest 5,000, of the reference's models.")
    refused: Count = Field(
        description="Of those compared, by the OOD detector; only its score counts."
    )
    other_models: Count = Field(description="Analysed by other models, and compared with nothing.")


class DriftBin(_Output):
    """A part of a distribution: a word, or the values from `low` on and below `high`."""

    label: str = Field(description="For a person: the word, or the range.")
    low: float | None = Field(
        description="From here on, in the statistic's own unit; null for a word, and where it is "
        "open below."
    )
    high: float | None = Field(
        description="Below this, in the same own unit; null for a word, and where it is open above."
    )
    share: Share = Field(description="Of the reference's images, 0..1.")


class WeekOfStatistic(_Output):
    """One distribution in one week."""

    week: str = Field(description="E.g. `2026-W47`.")
    images: Count = Field(description="Those of which the value is known.")
    psi: Psi | None = Field(
        description="The population stability index; null where there are too few images."
    )
    flag: DriftFlag = Field(description="What follows from `psi`.")
    shares: list[Share] | None = Field(description="Of each bin, 0..1; null without images.")


class DriftStatistic(_Output):
    """One distribution: the reference's, and week by week."""

    name: str = Field(
        description="A finding's probability by its name, `ood_score`, or of the image: width and "
        "height in pixels, mean grey and contrast in greys of 0 to 255, sharpness, source, view."
    )
    kind: Literal["number", "category"] = Field(description="Whether its bins are ranges or words.")
    about: Literal["input", "score"] = Field(description="Of the images, or of what models say.")
    flag: DriftFlag = Field(description="In the week that is evaluated.")
    psi: Psi | None = Field(description="The population stability index, likewise.")
    bins: list[DriftBin] = Field(description="The parts whose shares are compared.")
    weeks: list[WeekOfStatistic] = Field(description="The latest last.")


class DriftReport(_Output):
    """The weeks against the reference."""

    summary: str = Field(description="What a person is to know, a sentence or two.")
    compared_week: str | None = Field(description="The latest week with enough images.")
    reference: DriftReferenceSummary | None = Field(
        description="Null where none was made with the models that answer."
    )
    rules: DriftRules = Field(description="By which something is flagged.")
    weeks: list[DriftWeek] = Field(description="The latest last.")
    statistics: list[DriftStatistic] = Field(
        description="Drifted first, then those to be watched; none without a reference."
    )
