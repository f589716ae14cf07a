"""The recipe of a detector run, read from YAML; an unknown or missing key is an error."""

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_contracts import InputSpec
from cxr_training.data.errors import DataError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    augmentation: AugmentationConfig
    optimizer: OptimizerConfig

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe in `path`.

        Raises:
            DataError: no such file, no mapping, or a key missing, unknown or out of range.
        """
        if not path.exists():
            raise DataError(path, "is missing (the detector's recipe)")
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()))
        except (yaml.YAMLError, ValidationError) as error:
            raise DataError(path, f"is no detector recipe: {error}") from error

    def smoke(self) -> Self:
        """The same recipe for one epoch of two images a step, to try the way, not to learn."""
        augmentation = self.augmentation.model_copy(update={"close_mosaic_epochs": 0})
        changes = {"hours": None, "epochs": 1, "batch": 2, "augmentation": augmentation}
        return self.model_copy(update=changes)

    def input_spec(self) -> InputSpec:
        """What the network expects: Ultralytics' own 0..1, three equal planes."""
        side = self.image_px
        return InputSpec(
            width_px=side, height_px=side, channels=3, canonical_px=None, mean=0.0, std=1.0
        )
