"""`manifest.json` of a published model: what training writes and serving checks and obeys."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts.inference import Probability, Sha256

MANIFEST_NAME = "manifest.json"
Role = Literal["classifier", "detector", "ood"]


class _Strict(BaseModel):
    # A misspelt key in a manifest must not fall back to a default in silence.
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Strict):
    """A file of the model's folder."""

    path: str = Field(
        description="Relative to the folder, without a parent step.", pattern=r"^[\w.-]+$"
    )
    sha256: Sha256
    bytes: int = Field(gt=0)


class Architecture(_Strict):
    """How to build the network that the weights fill."""

    library: str = Field(description="`timm`, `ultralytics` or `cxr`.")
    name: str = Field(description="The library's own name, e.g. `tf_efficientnet_lite0`.")
    arguments: dict[str, Any] = Field(description="Keyword arguments of the library's builder.")


class InputSpec(_Strict):
    """What the network expects; the service's preprocessing obeys this and nothing else."""

    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    channels: int = Field(gt=0)
    canonical_px: int | None = Field(
        description="Every image is first brought down to this many pixels a side, so that "
        "sharpness tells nothing about its source; None where the input size alone decides."
    )
    mean: float = Field(description="Subtracted after scaling grey values to 0..1.")
    std: float = Field(gt=0, description="Divided by after subtracting `mean`.")


class LabelSpec(_Strict):
    """One output: its operating point and its calibration, sigmoid(slope * z + intercept)."""

    name: str
    threshold: Probability
    threshold_rule: str = Field(description="How the threshold was chosen, e.g. `youden`.")
    slope: float
    intercept: float


class Interval(_Strict):
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


class MetricRow(_Strict):
    """One measured figure: what, on what, of how many."""

    name: str = Field(description="E.g. `auroc`, `map50`, `ece`, `false_refusal_rate`.")
    subset: str = Field(description="E.g. `all`, a label, `source=large`, `label/source`.")
    split: str = Field(description="E.g. `validation`.")
    result: Interval
    n: int = Field(description="How many images stand behind the figure.", ge=0)
    n_positive: int | None = Field(description="How many of them are positive, or how many boxes.")


class DataSpec(_Strict):
    """What the model was trained and evaluated on."""

    sources: list[str]
    split_sha256: Sha256 = Field(description="Of the split file: patient and split, a line each.")
    n_train: int = Field(ge=0)
    n_validation: int = Field(ge=0)


class TrainingSpec(_Strict):
    """How the weights came about."""

    command: str
    commit: str
    recipe: dict[str, Any] = Field(description="The resolved configuration of the run.")


class ModelManifest(_Strict):
    """A published model folder's own description of itself."""

    schema_version: Literal[1]
    role: Role
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    architecture: Architecture
    input: InputSpec
    labels: list[LabelSpec]
    weights: ModelFile
    onnx: ModelFile
    extra: dict[str, Any] = Field(description="What only this role needs, e.g. `nms_iou`.")
    data: DataSpec
    training: TrainingSpec
    metrics: list[MetricRow]
