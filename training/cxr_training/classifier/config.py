"""The configuration of a classifier's run: one YAML file, every key of it required or refused."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.core.errors import ConfigError

YOUDEN: Literal["youden"] = "youden"
# See `losses.py`.
LossName = Literal["binary_cross_entropy", "balanced", "asymmetric"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Augmentation(_Section):
    """How training images are varied; shares are probabilities for each image."""

    rotation_degrees: float = Field(ge=0, description="Uniform within plus and minus this.")
    translation: float = Field(ge=0, lt=1, description="Of the side, uniform within +-.")
    scale: float = Field(ge=0, lt=1, description="Relative, uniform within 1 +- this.")
    brightness: float = Field(ge=0, description="Of the grey range, uniform within +-.")
    contrast: float = Field(ge=0, lt=1, description="Relative, uniform within 1 +- this.")
    noise_std: float = Field(ge=0, description="Largest standard deviation, in grey values.")
    coarsest_px: int = Field(gt=0, description="Side of the smallest source images.")
    coarsest_share: float = Field(ge=0, le=1, description="Brought down to exactly that.")
    coarser_share: float = Field(ge=0, le=1, description="Brought down to some size above it.")
    flip_share: float = Field(ge=0, le=1, description="Mirrored, left for right.")
    blur_share: float = Field(ge=0, le=1)
    jpeg_share: float = Field(ge=0, le=1)


class WithinSource(_Section):
    """A label that is learned from some sources alone, because elsewhere the source gives it away.

    On the other images the loss ignores it.
    """

    sources: tuple[Literal["large", "medium", "small"], ...] = Field(min_length=1)
    weight: float = Field(gt=0, description="Of the label's loss there; few images carry it.")
    from_epoch: int = Field(
        default=1, ge=1, description="Before it, the label is learned from all sources."
    )


def sources_of(rules: dict[Finding, WithinSource]) -> dict[Finding, tuple[str, ...]]:
    """The sources that each label is learned from."""
    return {label: rule.sources for label, rule in rules.items()}


class Training(_Section):
    """The optimiser and its budget."""

    epochs: int = Field(gt=0)
    steps_per_epoch: int | None = Field(
        default=None,
        gt=0,
        description="However many images there are; null: as many as show each of them once.",
    )
    shown: Literal["all", "synthetic"] = Field(
        default="all",
        description="Of the training images; the synthetic alone where another run will --start.",
    )
    oversampled_to: dict[Finding, int] = Field(
        default={},
        description="Images of these labels are repeated until each label has so many in an epoch.",
    )
    patient_share: float = Field(
        default=1.0, gt=0, le=1, description="Of the training patients; less for an ablation."
    )
    max_patients: int | None = Field(
        default=None, gt=0, description="Of each split; a few, to try the way through."
    )
    max_minutes: float | None = Field(gt=0)
    checkpoint_minutes: float = Field(
        default=15.0, gt=0, description="Between checkpoints; each epoch ends with one, too."
    )
    batch_size: int = Field(gt=0)
    loss: LossName
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    warmup_fraction: float = Field(ge=0, lt=1, description="Of the whole run.")
    ema_decay: float = Field(ge=0, lt=1)
    gradient_clip: float = Field(gt=0, description="Largest norm of a step's gradient.")
    within_source: dict[Finding, WithinSource]
    workers: int | None = Field(
        ge=0,
        description="Processes that load; 0 loads in the training process; null leaves it to the "
        "machine: none beside a CPU, as many as it has cores beside a GPU.",
    )
    threads: int | None = Field(description="Of PyTorch; null leaves its own choice.")
    compile: bool = Field(description="torch.compile: two minutes at first, then a fifth faster.")

    def within_source_in(self, epoch: int) -> dict[Finding, WithinSource]:
        """The rules that hold in an epoch; the first is 1."""
        return {x: rule for x, rule in self.within_source.items() if epoch >= rule.from_epoch}


Share = Annotated[float, Field(gt=0, le=1)]


class StatedSensitivity(_Section):
    """The highest threshold that finds this share of the positives."""

    sensitivity: Share | dict[Finding, Share] = Field(
        description="Of every finding, or of the named ones; the others keep Youden's point."
    )


OperatingPoint = Literal["youden"] | StatedSensitivity


class Evaluation(_Section):
    """How the trained network is judged, calibrated and given its operating points."""

    resamples: int = Field(gt=0, description="Bootstrap resamples of the patients.")
    mirrored: bool = Field(
        default=False, description="Published as the mean with what it says of the mirror image."
    )
    usual_map: bool = Field(
        default=True, description="Maps are published less what those of healthy films share."
    )
    calibration_folds: int = Field(ge=2)
    min_positives: int = Field(gt=0)
    operating_point: OperatingPoint = Field(
        default=YOUDEN, description="How thresholds are chosen; `{sensitivity: 0.9}`, for example."
    )

    def stated_sensitivity(self, label: Finding) -> float | None:
        """The sensitivity that the label's threshold must reach; None for Youden's point."""
        if self.operating_point == YOUDEN:
            return None
        stated = self.operating_point.sensitivity
        return stated.get(label) if isinstance(stated, dict) else stated


class ClassifierConfig(_Section):
    """A whole run."""

    name: str
    version: str
    seed: int
    members: int = Field(
        default=1,
        ge=1,
        description="Networks trained from `seed`, `seed + 1` and so on; their mean answers.",
    )
    architecture: Architecture
    pretrained: str | None
    input: InputSpec
    augmentation: Augmentation
    training: Training
    evaluation: Evaluation

    @field_validator("architecture")
    @classmethod
    def _is_of_one_network(cls, architecture: Architecture) -> Architecture:
        if "members" in architecture.arguments:
            raise ValueError("`members` is a key of the recipe, not of its architecture")
        return architecture

    @property
    def judged_on(self) -> dict[Finding, tuple[str, ...]]:
        """The sources of each label that is learned from some alone, at the end if not before."""
        return sources_of(self.training.within_source)


# A minute or less on a small data set: the way through, not a model.
SMOKE_OVERRIDES = (
    "training.epochs=1",
    "training.max_patients=60",
    "training.batch_size=8",
    "training.threads=1",
    "training.compile=false",
    "evaluation.resamples=20",
    "evaluation.calibration_folds=2",
    "evaluation.min_positives=2",
)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> ClassifierConfig:
    """The configuration of `path`, with `section.key=value` overrides (values as in YAML).

    Raises:
        ConfigError: no such file; an unknown or missing key; a value out of range; an override
            that is not of that form.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    raw: dict[str, Any] = yaml.safe_load(path.read_text())
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ConfigError(f"override {override!r} is not of the form section.key=value")
        *sections, last = key.split(".")
        target = raw
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = yaml.safe_load(value)
    try:
        return ClassifierConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
