"""The public answers about shadows and promotions."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Finding, ModelIdentity
from cxr_gateway.core.schemas import (
    Count,
    FailureKind,
    Milliseconds,
    Priority,
    ServiceStatus,
    Share,
)

RoleName = Literal["classifier", "detector"]
Mean = Annotated[float, Field(ge=0.0)]


class _Output(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureCount(_Output):
    """How often a shadow failed in one way."""

    kind: FailureKind = Field(description="As in a study's `problems`.")
    studies: Count = Field(description="On how many studies.")


class FindingAgreement(_Output):
    """What two classifiers say of one finding on the same radiographs."""

    finding: Finding = Field(description="Which one.")
    same_level: Count = Field(description="Radiographs on which both say the same level.")
    shadow_higher: Count = Field(description="On which the shadow's level is the stronger one.")
    shadow_lower: Count = Field(description="On which the shadow's level is the weaker one.")
    agreement: Share = Field(
        description="The share of radiographs on which both say the same level, 0..1."
    )
    mean_absolute_difference: Share = Field(description="Of the two probabilities, 0..1.")


class PriorityChange(_Output):
    """Radiographs of one priority that would have had this one."""

    current: Priority = Field(description="By the model that answered.")
    shadow: Priority = Field(description="By the shadow.")
    studies: Count = Field(description="How many.")


class Latency(_Output):
    """Milliseconds from the question to the answer."""

    median_ms: Milliseconds = Field(
        description="Milliseconds that half of the answers did not exceed."
    )
    p95_ms: Milliseconds = Field(description="Milliseconds that 95 of 100 did not exceed.")


class ShadowReport(_Output):
    """A shadow beside the model that answered, over the radiographs that both have read."""

    role: RoleName = Field(description="What both do.")
    shadow: ModelIdentity = Field(description="Which model answered beside the other.")
    current_sha256: str = Field(description="The model whose answers the studies show.")
    first_at: datetime = Field(description="When the first of these radiographs came.")
    last_at: datetime = Field(description="When the last of them came.")
    recorded: Count = Field(
        description="Radiographs in this report, the latest ones; failures with them."
    )
    answered: Count = Field(description="On how many of them the shadow answered.")
    failures: list[FailureCount] = Field(description="The most frequent first.")
    findings: list[FindingAgreement] = Field(description="Of a classifier; none of a detector.")
    priorities: list[PriorityChange] = Field(description="The same priority included.")
    priority_changes: Count = Field(
        description="Radiographs whose priority would have been another."
    )
    boxes_per_image_current: Mean = Field(description="Boxes, on average, of the other model.")
    boxes_per_image_shadow: Mean = Field(description="Boxes, on average, of the shadow.")
    latency_current: Latency | None = Field(description="Of the other model; null if unknown.")
    latency_shadow: Latency | None = Field(description="Of the shadow; null if unknown.")


class RoleModels(_Output):
    """Which model of a role answers, and which reads beside it."""

    role: RoleName = Field(description="What these models do.")
    active: ServiceStatus = Field(description="The one whose answers studies show.")
    shadow: ServiceStatus | None = Field(
        description="Null without a second address, or while it has not been ready yet."
    )


class PromotionEntry(_Output):
    """A line of the history."""

    number: Count = Field(description="From 1, over both roles.")
    role: RoleName = Field(description="What the model does.")
    made_at: datetime = Field(description="When.")
    made_by: str = Field(description="By whom, as the operator's machine names them.")
    undoes: Count | None = Field(description="The promotion that this took back.")
    model: ModelIdentity = Field(description="It answered from then on.")
    before: ModelIdentity = Field(description="It answered until then.")


class ModelsStatus(_Output):
    """The models of this gateway, and what was promoted."""

    roles: list[RoleModels] = Field(description="Classifier and detector.")
    history: list[PromotionEntry] = Field(description="The latest first.")
