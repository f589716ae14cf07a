"""What a service says of itself and of its model: the response of `GET /info`."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts.findings import Finding
from cxr_contracts.inference import ModelIdentity
from cxr_contracts.manifest import OperatingPoint


class LevelsSource(StrEnum):
    """Where a classifier's levels come from."""

    MEASURED = "measured"
    # A model without levels (an older or imported one): its threshold, and twice that.
    DERIVED = "derived from thresholds"


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FindingLevels(_Response):
    """From where on a finding is possible and likely, and what that was measured to mean."""

    finding: Finding = Field(description="Which one.")
    possible: OperatingPoint | None = Field(description="Null where it was not measured.")
    likely: OperatingPoint | None = Field(description="Likewise.")


class ServiceInfo(_Response):
    """The response of a service's `GET /info`."""

    role: str = Field(description="`classifier` or `detector`.")
    service_version: str
    model: ModelIdentity
    labels: list[str]
    runtime: str = Field(description="`onnxruntime`, `onnxruntime-int8` or `torch`.")
    device: str = Field(description="`cpu` or `cuda:N`.")
    max_batch_size: int = Field(
        description="Images in one run of the model, at most, as the service measured at start."
    )
    max_queue_length: int
    licence: str | None = Field(
        default=None, description="Of the model's weights, as its manifest states it."
    )
    calibrated: bool | None = Field(
        default=None,
        description="Whether anybody calibrated a classifier and measured what its levels mean; "
        "false of an imported one before `cxr models calibrate`, null of a detector.",
    )
    has_maps: bool | None = Field(
        default=None, description="Whether a classifier shows where each finding comes from."
    )
    levels: LevelsSource | None = Field(
        default=None, description="Where a classifier's evidence levels come from."
    )
    finding_levels: list[FindingLevels] = Field(
        default=[], description="A classifier's operating points, a line for each finding."
    )
    maps_are_evidence: bool | None = Field(
        default=None,
        description="Whether a classifier's maps point into drawn boxes more often than the usual "
        "place of each finding does, which needs no image; null where that was not measured.",
    )
