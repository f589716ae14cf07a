"""`manifest.json` of a published model: what training writes and serving checks and obeys."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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

    library: str = Field(
        description="`timm`, `ultralytics` or `cxr`; `onnx` where the graph is all there is."
    )
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


class Interval(_Strict):
    """A figure with its 95% interval."""

    value: float = Field(description="As measured, 0 to 1 for a share.")
    low: float = Field(description="Where its 95% interval begins.")
    high: float = Field(description="Where its 95% interval ends.")


class OperatingPoint(_Strict):
    """A threshold on a calibrated probability, and what it was measured to mean."""

    threshold: Probability = Field(description="From this probability on, 0 to 1.")
    rule: str = Field(description="How it was chosen, e.g. `specificity 0.95`.")
    split: str = Field(description="Whose images were measured: `test`, or `validation`.")
    n: int = Field(ge=0, description="How many images were measured.")
    n_positive: int = Field(ge=0, description="How many of them have the finding.")
    sensitivity: Interval | None = Field(description="Null with too few positives.")
    specificity: Interval | None = Field(description="Null with too few negatives.")
    precision: Interval | None = Field(description="Of the images that reach it; null if few do.")


class EvidenceLevels(_Strict):
    """From where on a finding is `possible` and `likely`; below both it is `unlikely`."""

    possible: OperatingPoint = Field(description="A screening point: it misses few.")
    likely: OperatingPoint = Field(description="A rule-in point: few without the finding reach it.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.likely.threshold < self.possible.threshold:
            raise ValueError("what is likely must be possible: its threshold lies below the other")
        return self


class LabelSpec(_Strict):
    """One output: its operating point and its calibration, sigmoid(slope * z + intercept).

    z is a classifier's logit, or the logit of a detector's score; the threshold is on the
    calibrated probability of a classifier, and on the score of a detector.
    """

    name: str
    threshold: Probability
    threshold_rule: str = Field(description="How the threshold was chosen, e.g. `youden`.")
    slope: float
    intercept: float
    levels: EvidenceLevels | None = Field(
        default=None, description="Of a classifier's label; absent in older manifests."
    )

    @property
    def level_thresholds(self) -> tuple[float, float]:
        """From which probability on the label is possible, and from which likely.

        Without levels they are derived: the threshold, and twice the threshold.
        """
        if self.levels is not None:
            return self.levels.possible.threshold, self.levels.likely.threshold
        return self.threshold, min(1.0, 2.0 * self.threshold)


class MetricRow(_Strict):
    """One measured figure: what, on what, of how many."""

    name: str = Field(description="E.g. `auroc`, `map50`, `ece`, `false_refusal_rate`.")
    subset: str = Field(description="E.g. `all`, a label, `source=large`, `label/source`.")
    split: str = Field(description="E.g. `validation`.")
    result: Interval
    n: int = Field(description="How many images stand behind the figure.", ge=0)
    n_positive: int | None = Field(description="How many of them are positive, or how many boxes.")


# By how much a quantised network may lose against the one that it was made of, on validation
# patients, before it is not served: its gate. `level_changes` is the share of a classifier's
# evidence levels that become others: as good a ranking does not keep calibrated thresholds.
GATE_LIMITS = {"auroc_loss": 0.002, "level_changes": 0.05, "map50_loss": 0.005}


class SelfCheck(_Strict):
    """What a network answers to the image that `cxr_serving.quantised` draws from `seed`."""

    seed: int
    answers: list[float] = Field(
        min_length=1, description="The mean over the cells of each row of its first output."
    )
    allowed: list[Annotated[float, Field(gt=0)]] = Field(
        description="How far each may lie from the stored one on another CPU."
    )

    @model_validator(mode="after")
    def _one_for_each(self) -> Self:
        if len(self.allowed) != len(self.answers):
            raise ValueError("`allowed` needs a figure for each of `answers`")
        return self


class QuantisedModel(_Strict):
    """The same network with 8-bit integers, for CPUs with instructions for them."""

    onnx: ModelFile
    method: str = Field(description="How it was made.")
    check: SelfCheck | None = Field(
        description="Null of a detector that is fused from others: each of them has its own."
    )
    gate: list[MetricRow] = Field(
        description="What it loses against the other file, on validation and on test patients."
    )

    @property
    def failed_gate(self) -> str | None:
        """Why it may not be served, as a sentence; None if it may."""
        losses = {
            row.name: row.result.value
            for row in self.gate
            if row.split == "validation" and row.name in GATE_LIMITS
        }
        if not losses:
            return "its manifest states no loss on validation patients"
        for name, loss in losses.items():
            if not loss <= GATE_LIMITS[name]:
                return f"its {name} of {loss:.4f} is above {GATE_LIMITS[name]:g}"
        return None


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
    weights: ModelFile = Field(description="Of a model that is an ONNX file alone, that file.")
    onnx: ModelFile
    int8: QuantisedModel | None = Field(
        default=None, description="Null where there is none; absent in older manifests."
    )
    extra: dict[str, Any] = Field(description="What only this role needs, e.g. `nms_iou`.")
    data: DataSpec
    training: TrainingSpec
    metrics: list[MetricRow]

    @property
    def calibrated(self) -> bool:
        """Whether anybody measured it: its levels, or in an older manifest any figure."""
        return bool(self.metrics) or all(label.levels is not None for label in self.labels)

    def metric(self, name: str, subset: str) -> Interval | None:
        """A figure of the manifest: of test patients if it is there, else of validation patients.

        None where it was not measured on either.
        """
        found = {
            row.split: row.result
            for row in self.metrics
            if (row.name, row.subset) == (name, subset)
        }
        return found.get("test", found.get("validation"))
