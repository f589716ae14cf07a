"""The public answers about shadows and promotions."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import Finding, ModelIdentity
from cxr_gateway.core.schemas import Priority, ServiceStatus

RoleName = Literal["classifier", "detector"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FailureCount(_Answer):
    """How often a shadow failed in one way."""

    kind: str = Field(description="As in a study's `problems`.")
    studies: int


class FindingAgreement(_Answer):
    """What two classifiers say of one finding on the same films."""

    finding: Finding
    both_positive: int
    only_current: int = Field(description="Positive by the model that answered only.")
    only_shadow: int
    neither: int
    agreement: float = Field(description="The share of films on which both say the same, 0..1.")
    mean_absolute_difference: float = Field(description="Of the two probabilities, 0..1.")


class PriorityChange(_Answer):
    """Films of one priority that would have had this one."""

    shown: Priority
    shadow: Priority
    studies: int


class Latency(_Answer):
    """Milliseconds from the question to the answer."""

    median_ms: float
    p95_ms: float


class ShadowReport(_Answer):
    """A shadow beside the model that answered, over the films that both have read."""

    role: RoleName
    shadow: ModelIdentity
    current_sha256: str = Field(description="The model whose answers the studies show.")
    first_at: datetime
    last_at: datetime
    recorded: int = Field(description="Films in this report, the latest ones; failures with them.")
    answered: int
    failures: list[FailureCount]
    findings: list[FindingAgreement] = Field(description="Of a classifier; none of a detector.")
    priorities: list[PriorityChange] = Field(description="The same priority included.")
    priority_changes: int = Field(description="Films whose priority would have been another.")
    boxes_per_image_current: float
    boxes_per_image_shadow: float
    latency_current: Latency | None
    latency_shadow: Latency | None


class RoleModels(_Answer):
    """Which model of a role answers, and which reads beside it."""

    role: RoleName
    answering: ServiceStatus
    shadow: ServiceStatus | None = Field(
        description="Null without a second address, or while it has not been ready yet."
    )


class PromotionEntry(_Answer):
    """A line of the history."""

    number: int
    role: RoleName
    made_at: datetime
    made_by: str
    undoes: int | None = Field(description="The promotion that this took back.")
    model: ModelIdentity = Field(description="It answered from then on.")
    before: ModelIdentity


class ModelsStatus(_Answer):
    """The models of this gateway, and what was promoted."""

    roles: list[RoleModels]
    history: list[PromotionEntry] = Field(description="The latest first.")
