"""The wire between the gateway and the inference services: `/v1/classify` and `/v1/detect`.

Both take a multipart form with one file field, `image` (PNG or JPEG, 8-bit grey or a colour
file of a grey image). Clients ignore response fields that they do not know, so the services
can be upgraded one by one.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts.findings import Finding, Level, Region

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

CLASSIFY_PATH = "/v1/classify"
DETECT_PATH = "/v1/detect"
# The query parameter of /v1/classify: for how many findings, the first ones, a map is wanted.
EXPLAIN_PARAM = "explain"
# The query parameter of /v1/detect: boxes down to this score, whatever their operating thresholds.
MIN_SCORE_PARAM = "min_score"
# Of that parameter: below it nearly every anchor is a box.
LOWEST_MIN_SCORE = 0.001
# Answered with that parameter; Ultralytics' own number for validation.
MOST_BOXES = 300


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelIdentity(_Response):
    """Which model answered."""

    name: str = Field(description="Of the model's folder, e.g. `lite0-cxr`.")
    version: str = Field(description="As its manifest says, e.g. `3.0.0`.")
    sha256: Sha256 = Field(description="Of the model's `weights.safetensors`.")


class FindingProbability(_Response):
    """One finding: its calibrated probability, and how strong that evidence is."""

    finding: Finding = Field(description="Which one, as NIH ChestX-ray14 spells it.")
    probability: Probability = Field(description="0 to 1, calibrated on validation patients.")
    level: Level = Field(description="`likely`, `possible` or `unlikely`: what follows.")
    possible_threshold: Probability = Field(
        description="The screening point: from here on the finding is possible."
    )
    likely_threshold: Probability = Field(
        description="The rule-in point: from here on the finding is likely."
    )


class CamGrid(_Response):
    """Where a finding's evidence lies: a class activation map (Zhou et al., CVPR 2016).

    `values[row][column]` is the contribution of that cell to the finding's logit, before
    calibration: the mean over the grid is the logit, if nothing was taken off the map. The grid
    covers the whole image, row 0 at the top, column 0 at the left.
    """

    finding: Finding
    values: list[list[float]]


class ClassifyResponse(_Response):
    """The response of `POST /v1/classify`."""

    model: ModelIdentity
    calibrated: bool | None = Field(
        default=None,
        description="Whether the probabilities are calibrated and the levels measured; null from a "
        "classifier of before this was said.",
    )
    findings: list[FindingProbability] = Field(
        description="All fourteen, by level (likely first), then by probability."
    )
    cams: list[CamGrid] = Field(
        description="Of the first `explain` findings; none of a model without maps."
    )


class ImageSize(_Response):
    """Pixels of the image as the service decoded it."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class DetectedBox(_Response):
    """One suspicious region, in pixels of the image that was sent; x to the right, y down."""

    finding: Region
    score: Probability = Field(description="The network's own.")
    probability: Probability | None = Field(
        default=None,
        description="How likely it is that the box is right, as measured on validation patients; "
        "null where that was not measured.",
    )
    # Without a default: boxes below the threshold must not pass for the others.
    above_threshold: bool = Field(
        description="Whether `score` reaches the detector's own operating threshold; false only "
        "for boxes that `min_score` asked for.",
    )
    x_min: float
    y_min: float
    x_max: float
    y_max: float


class DetectResponse(_Response):
    """The response of `POST /v1/detect`."""

    model: ModelIdentity
    image: ImageSize
    boxes: list[DetectedBox] = Field(description="Highest score first.")
