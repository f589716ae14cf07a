"""The configuration of a classifier's run."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cxr_contracts import Architecture, Finding, InputSpec
from cxr_training.core.config import Section, read_config


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


class Start(Section):
    """The published classifier whose weights a network begins with, input size aside."""

    model: str = Field(description="Its folder.")
    member: int | None = Field(
        default=1,
        ge=1,
        description="Which of its networks, the first is 1; null: of an ensemble each its own.",
    )


class SupervisionWeights(Section):
    """Of the losses beside that of the labels; see `supervision.py`."""

    auxiliary: float = Field(ge=0, description="Of radiologists' reads, view, sex and age.")
    pointing: float = Field(ge=0, description="Of a map's softmax outside drawn boxes.")


class Sampling(Section):
    """Relative chances of a training image to be drawn; those that hold multiply, 1 is usual."""

    no_finding: float = Field(default=1.0, gt=0)
    rare: float = Field(default=1.0, gt=0, description="Of one with a finding below 6%.")
    large: float = Field(default=1.0, gt=0, description="Of one from a large file.")
    boxed: float = Field(default=1.0, gt=0, description="Of one with a drawn box.")


class Training(Section):
    """The optimiser and its budget."""

    epochs: int = Field(gt=0)
    steps_per_epoch: int | None = Field(
        default=None,
        gt=0,
        description="However many images there are; null: as many as show each of them once.",
    )
    oversampled_to: dict[Finding, int] = Field(
        default={},
        description="Images of these labels are repeated until each label has so many in an epoch.",
    )
    max_patients: int | None = Field(
        default=None, gt=0, description="Of each split; a few, to try the way through."
    )
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
    label_weights: Literal["equal", "prevalence"] = Field(
        default="equal",
        description="Of each label's loss: alike, or larger for a rare one, within a factor of 5.",
    )
    sampling: Sampling | None = Field(
        default=None,
        description="Null: each image once in an epoch, or as often as all others.",
    )
    frozen_stages: int = Field(
        default=0,
        ge=0,
        description="So many stages of the backbone, with the stem, stay as they start; 0: none.",
    )
    supervision: SupervisionWeights | None = Field(
        default=None,
        description="By `chestx-det/`, `rsna/` and NIH's boxes, where the data has them.",
    )
    workers: int | None = Field(
        ge=0,
        description="Processes that load; 0 loads in the training process; null leaves it to the "
        "machine: none beside a CPU, as many as it has cores beside a GPU.",
    )
    threads: int | None = Field(description="Of PyTorch; null leaves its own choice.")

    def within_source_in(self, epoch: int) -> dict[Finding, WithinSource]:
        """The rules that hold in an epoch; the first is 1."""
        return {x: rule for x, rule in self.within_source.items() if epoch >= rule.from_epoch}


class Evaluation(Section):
    """How a trained network is calibrated and evaluated."""

    resamples: int = Field(gt=0, description="Bootstrap resamples of the patients.")
    calibration_folds: int = Field(ge=2)
    min_positives: int = Field(gt=0, description="Of a finding that counts in the means.")


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
    labels: tuple[Finding, ...] = Field(
        default=tuple(Finding), min_length=1, description="In the order of the network's outputs."
    )
    architecture: Architecture
    pretrained: str | None = Field(description="A package of ImageNet weights to start from.")
    start: Start | None = None
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.pretrained is not None and self.start is not None:
            raise ValueError("`pretrained` and `start` are two starts: one must be null")
        if self.training.supervision is not None and self.input.width_px != self.input.height_px:
            raise ValueError("`training.supervision` needs a square input")
        return self

    @property
    def sources_by_label(self) -> dict[Finding, tuple[str, ...]]:
        """The sources of each label that is learned from some alone, at the end if not before."""
        return {label: rule.sources for label, rule in self.training.within_source.items()}

    @property
    def canonical_px(self) -> int:
        """Side of the square images that the cache holds."""
        return self.input.canonical_px or max(self.input.width_px, self.input.height_px)


# A minute or less on a small data set: the way through, not a model.
SMOKE_OVERRIDES = (
    "training.epochs=1",
    "training.steps_per_epoch=null",
    "training.max_patients=60",
    "training.batch_size=8",
    "training.threads=1",
    "evaluation.resamples=20",
    "evaluation.calibration_folds=2",
    "evaluation.min_positives=2",
)


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> ClassifierConfig:
    """The configuration of `path` with overrides; ConfigError as `read_config`."""
    return read_config(ClassifierConfig, path, overrides)
