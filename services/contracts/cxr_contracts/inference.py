"""The wire between the gateway and the inference services: `/v1/classify` and `/v1/detect`.

Both take a multipart form with one file field, `image` (PNG or JPEG, 8-bit grey or a colour
file of a grey image). Clients ignore response fields that they do not know, so the services
can be upgraded one by one.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts.findings import Finding, Region

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

CLASSIFY_PATH = "/v1/classify"
DETECT_PATH = "/v1/detect"
# The query parameter of /v1/classify: for how many of the most probable findings a map is wanted.
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

    name: str
    version: str
    sha256: Sha256 = Field(description="Of the model's `weights.safetensors`.")


class FindingProbability(_Response):
    """One finding with its calibrated probability and its operating point."""

    finding: Finding
    probability: Probability = Field(description="Calibrated on validation patients.")
    threshold: Probability = Field(description="The operating point, from the model's manifest.")
    positive: bool = Field(description="Whether `probability` reaches `threshold`.")


class CamGrid(_Response):
    """Where a finding's evidence lies: a class activation map (Zhou et al., CVPR 2016).

    `values[row][column]` is the contribution of that cell to the finding's logit, before
    calibration: the mean over the grid is the logit. The grid covers the whole image,
    row 0 at the top, column 0 at the left.
    """

    finding: Finding
    values: list[list[float]]


class ClassifyResponse(_Response):
    """The response of `POST /v1/classify`."""

    model: ModelIdentity
    findings: list[FindingProbability] = Field(description="All fourteen, most probable first.")
    cams: list[CamGrid] = Field(description="Of the `explain` most probable findings.")


class ImageSize(_Response):
    """Pixels of the image as the service decoded it."""

    width: int = Field(gt=0)
    height: int = Field(gt=0)


class DetectedBox(_Response):
    """One suspicious region, in pixels of the image that was sent; x to the right, y down."""

    finding: Region
    score: Probability
    # Without a default: boxes below the threshold must not pass for the others.
    above_threshold: bool = Field(
        description="Whether the detector's own operating threshold lets it through; false only "
        "for what `min_score` asked for beyond.",
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


class ServiceInfo(_Response):
    """The response of a service's `GET /info`."""

    role: str = Field(description="`classifier` or `detector`.")
    service_version: str
    model: ModelIdentity
    labels: list[str]
    runtime: str = Field(description="`onnxruntime` or `torch`.")
    device: str = Field(description="`cpu` or `cuda:N`.")
    max_batch_size: int
    max_queue_length: int
