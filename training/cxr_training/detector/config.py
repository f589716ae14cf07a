"""The recipe of a detector run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cxr_contracts import Architecture, InputSpec, Region
from cxr_training.core.config import Section, read_config
from cxr_training.data.annotations import SETS, regions_of

_SET_NAMES = [one.name for one in SETS]

# Of each split in a trial: a minute on two cores, on the published data as well.
SMOKE_IMAGES = 64


class DataConfig(Section):
    """What is learnt from."""

    sets: tuple[str, ...] = Field(
        description="Whose boxes: names of `cxr_training.data.annotations.SETS`."
    )
    regions: tuple[Region, ...] = Field(
        default=(), description="In place of `sets`: what boxes of one's own are called."
    )
    rare_share: float = Field(
        ge=0,
        le=1,
        description="A class on a smaller share of the training images is drawn more often, by the "
        "square root of the shortfall; 0: every image once an epoch.",
    )
    label_noise_mask: bool = Field(
        default=False,
        description="Whether a finding that NIH's labels often miss is unknown, rather than "
        "absent, where they do not name it (rule 3 of the annotation policy).",
    )
    max_images: int | None = Field(default=None, gt=0, description="Of each split, for a trial.")
    epoch_images: int | None = Field(
        default=None,
        gt=0,
        description="So many training images are drawn for an epoch; None: as many as there are.",
    )

    @field_validator("sets")
    @classmethod
    def _known_and_in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(value) - set(_SET_NAMES)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: none of {', '.join(_SET_NAMES)}")
        return tuple(name for name in _SET_NAMES if name in value)

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if bool(self.sets) == bool(self.regions):
            raise ValueError("either `sets` or `regions` says what the boxes are")
        return self


class AugmentationConfig(Section):
    """What happens to training images. No vertical flip and no colour: radiographs have neither."""

    soften: float = Field(ge=0, le=1, description="Share brought down to a random side and up.")
    soften_min_px: int = Field(ge=16)
    blur: float = Field(ge=0, le=1)
    jpeg: float = Field(ge=0, le=1)
    gamma: float = Field(ge=0, lt=1, description="Largest change of the exponent, both ways.")
    brightness: float = Field(ge=0, lt=1)
    degrees: float = Field(ge=0, le=15)
    translate: float = Field(ge=0, le=0.5)
    scale: float = Field(ge=0, lt=1)
    flip_horizontal: float = Field(ge=0, le=1)


class OptimizerConfig(Section):
    """AdamW; the rate warms up and falls by half a cosine, as Ultralytics schedules it."""

    learning_rate: float = Field(gt=0)
    final_fraction: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)


class PretrainingConfig(Section):
    """How NIH's labels are learnt before the boxes: `cxr_training.detector.pretraining`."""

    image_px: int = Field(gt=0, multiple_of=32)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class BackboneConfig(Section):
    """A timm network in the place of YOLOv5's own backbone."""

    network: str = Field(description="timm's name.")
    frozen_stages: int = Field(
        ge=0, description="The stem and so many stages stay as they start; 0: all learn."
    )
    drop_path_rate: float = Field(ge=0, lt=1, description="timm's, in training.")


class DistillationConfig(Section):
    """How a teacher's pseudo-labels are learnt: `cxr_training.detector.distillation`."""

    min_score: float = Field(gt=0, lt=1, description="A weaker box is none.")
    label_odds: float = Field(
        ge=1, description="What NIH's labels of a radiograph do to the odds of a box; 1: nothing."
    )
    merge_iou: float = Field(
        gt=0, le=1, description="Boxes of several kinds that overlap so much are one place."
    )
    drawn_share: float = Field(
        gt=0, lt=1, description="So many of the images that are drawn carry drawn boxes."
    )


class DetectorConfig(Section):
    """One recipe."""

    name: str
    version: str
    architecture: str
    image_px: int = Field(gt=0, multiple_of=32)
    seed: int
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    background_images: int = Field(ge=0, description="Without a finding, added to train on.")
    nms_iou: float = Field(gt=0, lt=1)
    max_boxes: int = Field(gt=0)
    data: DataConfig
    device: Literal["auto", "cpu", "cuda"]
    threads: int = Field(gt=0, description="Of PyTorch on a CPU.")
    average_steps: int = Field(
        gt=0, description="The published weights are an average over about the last so many steps."
    )
    validate_every: int = Field(gt=0, description="So many epochs; the last one always.")
    backbone: BackboneConfig | None = None
    pretraining: PretrainingConfig | None = None
    distillation: DistillationConfig | None = None
    augmentation: AugmentationConfig
    optimizer: OptimizerConfig

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> Self:
        """The recipe in `path`, with `changes` such as `epochs=5` or `data.rare_share=0.1`.

        Raises:
            ConfigError: as `read_config`.
        """
        return read_config(cls, path, changes)

    @model_validator(mode="after")
    def _backbone_once(self) -> Self:
        if self.backbone is not None and self.pretraining is not None:
            raise ValueError("a recipe with a timm backbone has no pretraining")
        return self

    @property
    def regions(self) -> tuple[Region, ...]:
        """The vocabulary: class i of the network is `regions[i]`."""
        return self.data.regions or regions_of(self.data.sets)

    @property
    def network(self) -> Architecture:
        """What `cxr_detector.network.build_network` builds."""
        arguments = {} if self.backbone is None else {"backbone": self.backbone.network}
        return Architecture(library="ultralytics", name=self.architecture, arguments=arguments)

    @property
    def frozen(self) -> list[str]:
        """Which parameters stay as they start: those whose name holds one of these, and a dot."""
        if self.backbone is None or not self.backbone.frozen_stages:
            return []
        stages = [f"blocks.{number}" for number in range(self.backbone.frozen_stages)]
        return [f"0.network.{part}" for part in ("conv_stem", "bn1", *stages)]

    @property
    def input_spec(self) -> InputSpec:
        """What the network expects: Ultralytics' own 0..1, three equal planes."""
        return square_input(self.image_px)

    def smoke(self) -> Self:
        """The same recipe for one epoch of two images a step, to try the way, not to learn."""
        changes: dict[str, Any] = {
            "epochs": 1,
            "batch": 2,
            "data": self.data.model_copy(update={"max_images": SMOKE_IMAGES}),
        }
        if self.pretraining is not None:
            changes["pretraining"] = self.pretraining.model_copy(update={"epochs": 1})
        return self.model_copy(update=changes)


def square_input(side_px: int) -> InputSpec:
    """The input of a network of Ultralytics: three equal planes, 0..1."""
    return InputSpec(
        width_px=side_px, height_px=side_px, channels=3, canonical_px=None, mean=0.0, std=1.0
    )
