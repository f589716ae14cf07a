"""The configuration of a classifier's run."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.core.config import Section, read_config

YOUDEN: Literal["youden"] = "youden"


class Augmentation(Section):
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


class WithinSource(Section):
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


class Training(Section):
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
    max_patients: int | None = Field(
        default=None, gt=0, description="Of each split; a few, to try the way through."
    )
    max_minutes: float | None = Field(gt=0)
    checkpoint_minutes: float = Field(
        default=15.0, gt=0, description="Between checkpoints; each epoch ends with one, too."
    )
    batch_size: int = Field(gt=0)
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


class StatedSensitivity(Section):
    """The highest threshold that finds this share of the positives."""

    sensitivity: Annotated[float, Field(gt=0, le=1)]


OperatingPoint = Literal["youden"] | StatedSensitivity


class Evaluation(Section):
    """How a trained network is calibrated, given its operating points and evaluated."""

    resamples: int = Field(gt=0, description="Bootstrap resamples of the patients.")
    calibration_folds: int = Field(ge=2)
    min_positives: int = Field(gt=0, description="Of a finding with a threshold of its own.")
    operating_point: OperatingPoint = Field(
        default=YOUDEN, description="How thresholds are chosen; `{sensitivity: 0.9}`, for example."
    )

    @property
    def stated_sensitivity(self) -> float | None:
        """The sensitivity that each threshold must reach; None for Youden's point."""
        return None if self.operating_point == YOUDEN else self.operating_point.sensitivity


def evaluation_of(recipe: dict[str, Any]) -> Evaluation:
    """The section `evaluation` of a published recipe, without keys that were retired since.

    Raises:
        KeyError, TypeError, ValidationError: it is of another form.
    """
    known = {key: x for key, x in recipe["evaluation"].items() if key in Evaluation.model_fields}
    return Evaluation.model_validate(known)


class ClassifierConfig(Section):
    """A whole run."""

    name: str
    version: str
    seed: int
    members: int = Field(
        default=1,
        ge=1,
        description="Networks trained from `seed`, `seed + 1` and so on; their mean is published.",
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
    def sources_by_label(self) -> dict[Finding, tuple[str, ...]]:
        """The sources of each label that is learned from some alone, at the end if not before."""
        return sources_of(self.training.within_source)

    @property
    def canonical_px(self) -> int:
        """Side of the square images that the cache holds."""
        return self.input.canonical_px or max(self.input.width_px, self.input.height_px)


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
    """The configuration of `path` with overrides; ConfigError as `read_config`."""
    return read_config(ClassifierConfig, path, overrides)
