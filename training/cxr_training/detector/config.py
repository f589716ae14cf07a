"""The recipe of a detector run, read from YAML; an unknown or missing key is an error.

A recipe may begin with `base: OTHER.yaml` and state only what is other than there. Keys
with a default came after the first published recipe and leave it as it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cxr_contracts import Architecture, InputSpec, Region
from cxr_detector.preprocessing import Resize
from cxr_training.data.errors import DataError
from cxr_training.detector.annotations import BOTH_SETS, BoxSet, regions_of

# Of each split in a trial: a minute on two cores, on the published data as well.
SMOKE_IMAGES = 64


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """What is learnt from."""

    sets: tuple[BoxSet, ...] = Field(default=BOTH_SETS, min_length=1, description="Whose boxes.")
    rare_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="A class on a smaller share of the training images is drawn more often, by the "
        "square root of the shortfall; 0: every image once an epoch.",
    )
    labelled_images: int = Field(
        default=0,
        ge=0,
        description="Radiographs without a box, with findings or without, added at random: what "
        "NIH's labels name is unknown there, what else they could name is absent.",
    )
    doubt_labels: bool = Field(
        default=False,
        description="Whether the silence of NIH's labels about what they often miss is unknown "
        "rather than absence (rule 3 of the annotation policy).",
    )
    max_images: int | None = Field(default=None, gt=0, description="Of each split, for a trial.")

    @field_validator("sets")
    @classmethod
    def _in_one_order(cls, value: tuple[BoxSet, ...]) -> tuple[BoxSet, ...]:
        return tuple(name for name in BOTH_SETS if name in value)


class AugmentationConfig(_Strict):
    """What happens to training images. No vertical flip and no colour: radiographs have neither."""

    soften: float = Field(ge=0, le=1)
    soften_min_px: int = Field(ge=16)
    blur: float = Field(ge=0, le=1)
    jpeg: float = Field(ge=0, le=1)
    gamma: float = Field(ge=0, lt=1, description="Largest change of the exponent, both ways.")
    mosaic: float = Field(ge=0, le=1)
    close_mosaic_epochs: int = Field(ge=0)
    degrees: float = Field(ge=0, le=15)
    translate: float = Field(ge=0, le=0.5)
    scale: float = Field(ge=0, lt=1)
    brightness: float = Field(ge=0, lt=1)
    flip_horizontal: float = Field(ge=0, le=1)


class OptimizerConfig(_Strict):
    """How the weights move."""

    name: Literal["AdamW", "SGD"]
    learning_rate: float = Field(gt=0)
    final_fraction: float = Field(gt=0, le=1)
    weight_decay: float = Field(ge=0)
    warmup_epochs: float = Field(ge=0)


class PretrainingConfig(_Strict):
    """How NIH's labels are learned before the boxes: `cxr_training.detector.pretraining`."""

    image_px: int = Field(gt=0, multiple_of=32)
    hours: float | None = Field(gt=0, description="As the recipe's own; beside them.")
    epochs: int = Field(gt=0)
    batch: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)


class TrunkConfig(_Strict):
    """A timm network in the place of YOLOv5's backbone: `cxr_detector.backbone`."""

    network: str = Field(description="timm's name.")
    frozen_stages: int = Field(
        0, ge=0, description="The stem and so many stages stay as they start; 0: all learn."
    )
    drop_path_rate: float = Field(0.0, ge=0, lt=1, description="timm's, in training.")


class DetectorConfig(_Strict):
    """One recipe."""

    name: str
    version: str
    architecture: str
    image_px: int = Field(gt=0, multiple_of=32)
    seed: int
    hours: float | None = Field(gt=0)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)
    checkpoint: Literal["last", "best"]
    background_images: int = Field(ge=0)
    merge_iou: float = Field(gt=0, lt=1)
    nms_iou: float = Field(gt=0, lt=1)
    max_boxes: int = Field(gt=0)
    data: DataConfig = DataConfig()
    resize: Resize = Field("letterbox", description="How a film that is not square gets in.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, gt=0, description="Of PyTorch on a CPU.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the forward pass; auto: bfloat16 where the device computes in it."
    )
    average_steps: int | None = Field(
        None,
        gt=0,
        description="The published weights are an average over about the last so many steps; null: "
        "Ultralytics' own, made for runs of 10,000 steps and more.",
    )
    validate_every: int = Field(1, gt=0, description="So many epochs; the last one always.")
    freeze_layers: int = Field(0, ge=0, description="So many first layers stay as they start.")
    trunk: TrunkConfig | None = None
    pretraining: PretrainingConfig | None = None
    augmentation: AugmentationConfig
    optimizer: OptimizerConfig

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> Self:
        """The recipe in `path`, with `changes` such as `hours=0.5` or `data.rare_share=0.1`.

        Raises:
            DataError: no such file, no mapping, or a key missing, unknown or out of range.
        """
        recipe = _read_with_base(path)
        for change in changes:
            recipe = _merged(recipe, _parse_change(change, path))
        try:
            return cls.model_validate(recipe)
        except ValidationError as error:
            raise DataError(path, f"is no detector recipe: {error}") from error

    @model_validator(mode="after")
    def _backbone_once(self) -> Self:
        if self.trunk is not None and (self.pretraining is not None or self.freeze_layers):
            raise ValueError("a recipe with a trunk has no pretraining and no freeze_layers")
        return self

    @property
    def regions(self) -> tuple[Region, ...]:
        """The vocabulary: class i of the network is `regions[i]`."""
        return regions_of(self.data.sets)

    @property
    def network(self) -> Architecture:
        """What `cxr_detector.network.build_network` builds."""
        arguments = {} if self.trunk is None else {"backbone": self.trunk.network}
        return Architecture(library="ultralytics", name=self.architecture, arguments=arguments)

    @property
    def frozen(self) -> list[str]:
        """Which parameters stay as they start: those whose name holds one of these, and a dot."""
        layers = [str(number) for number in range(self.freeze_layers)]
        if self.trunk is not None and self.trunk.frozen_stages:
            stages = [f"blocks.{number}" for number in range(self.trunk.frozen_stages)]
            layers += [f"0.network.{part}" for part in ("conv_stem", "bn1", *stages)]
        return layers

    def smoke(self) -> Self:
        """The same recipe for one epoch of two images a step, to try the way, not to learn."""
        changes: dict[str, Any] = {
            "hours": None,
            "epochs": 1,
            "batch": 2,
            "augmentation": self.augmentation.model_copy(update={"close_mosaic_epochs": 0}),
            "data": self.data.model_copy(update={"max_images": SMOKE_IMAGES}),
        }
        if self.pretraining is not None:
            once = {"hours": None, "epochs": 1}
            changes["pretraining"] = self.pretraining.model_copy(update=once)
        return self.model_copy(update=changes)

    def input_spec(self) -> InputSpec:
        """What the network expects: Ultralytics' own 0..1, three equal planes."""
        side = self.image_px
        return InputSpec(
            width_px=side, height_px=side, channels=3, canonical_px=None, mean=0.0, std=1.0
        )


def _read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in above:
        raise DataError(path, "is its own base")
    recipe = _read_mapping(path)
    if "base" not in recipe:
        return recipe
    base = path.parent / str(recipe.pop("base"))
    return _merged(_read_with_base(base, (*above, path.resolve())), recipe)


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise DataError(path, "is missing (the detector's recipe)")
    try:
        recipe = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise DataError(path, f"is no detector recipe: {error}") from error
    if not isinstance(recipe, dict):
        raise DataError(path, "is no detector recipe: keys and values are expected")
    return recipe


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        merged[key] = value
    return merged


def _parse_change(text: str, path: Path) -> dict[str, Any]:
    """`a.b=1` as `{"a": {"b": 1}}`."""
    keys, found, value = text.partition("=")
    if not found:
        raise DataError(path, f"cannot be changed by {text!r}: expected KEY=VALUE")
    change: Any = yaml.safe_load(value)
    for key in reversed(keys.split(".")):
        change = {key: change}
    return dict(change)
