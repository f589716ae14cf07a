"""The recipe of a run: one YAML file, every key of it required or refused."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cxr_contracts import Finding
from cxr_gan.networks.dcgan import SMALLEST_PX
from cxr_gan.networks.spec import COARSEST_PX, Family, GeneratorSpec
from cxr_training.core.config import Section, read_config


class Network(Section):
    """The shape of both networks; see `GeneratorSpec`."""

    family: Family
    latent_size: int = Field(gt=0)
    channels: int = Field(gt=0, description="Of the finest layer; each coarser one has twice.")
    most_channels: int = Field(gt=0)


class Image(Section):
    """What is shown as real: radiographs whose file is at least as wide."""

    side_px: int = Field(ge=COARSEST_PX, le=1024)


class Augmentation(Section):
    """What real and generated images go through before the discriminator; 0: nothing."""

    brightness: float = Field(ge=0, le=1, description="Of the half range, uniform within +-.")
    contrast: float = Field(ge=0, lt=1, description="Relative, uniform within 1 +- this.")
    translation: float = Field(ge=0, lt=1, description="Of the side, uniform within +-.")
    cutout: float = Field(ge=0, lt=1, description="Side of the square left out, of the side.")


class Loss(Section):
    """What the networks play for."""

    adversarial: Literal["non_saturating", "wasserstein"]
    gradient_penalty: Literal["none", "wgan_gp", "r1"]
    penalty_weight: float = Field(ge=0)
    penalty_interval: int = Field(gt=0, description="Steps between penalties, weighted as much.")
    drift: float = Field(ge=0, description="Weight of the real logits' mean square.")
    augmentation: Augmentation | None


class Growth(Section):
    """The stages of a run, each of twice the side of the one before."""

    start_px: int = Field(ge=COARSEST_PX, description="side_px: one stage, nothing grows.")
    images_per_stage: int = Field(gt=0, description="Shown, at most, of every stage but the last.")
    images_at_last: int = Field(gt=0, description="Shown, at most, of the last.")
    time_factor: float = Field(gt=0, description="Share of the time, against the stage before.")
    fade_share: float = Field(ge=0, lt=1, description="Of a stage: its layer is blended in.")


Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(Section):
    """The optimisers and the budget."""

    batch_size: int = Field(gt=1)
    generator_learning_rate: float = Field(gt=0)
    discriminator_learning_rate: float = Field(gt=0)
    betas: tuple[Beta, Beta]
    ema_half_life_images: int = Field(gt=0, description="Of the published, averaged generator.")
    max_minutes: float | None = Field(gt=0, description="Of all stages together.")
    report_images: int = Field(gt=0, description="Shown between two grids and metrics lines.")
    checkpoint_minutes: float = Field(gt=0, description="Each stage ends with one, too.")
    precision: Literal["auto", "float32", "bfloat16"]


class GanConfig(Section):
    """A whole run."""

    name: str
    seed: int = Field(ge=0)
    network: Network
    image: Image
    labels: tuple[Finding, ...] = Field(
        description="What may be asked for, in the order of the networks' input: `all` fourteen, "
        "some of them, or none."
    )
    loss: Loss
    growth: Growth
    training: Training

    @field_validator("labels", mode="before")
    @classmethod
    def _all_or_once_each(cls, value: Any) -> Any:
        if value == "all":
            return tuple(Finding)
        if isinstance(value, list) and len(set(map(str, value))) < len(value):
            raise ValueError("a label stands there twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        side_px, start_px = self.image.side_px, self.growth.start_px
        for key, value in (("image.side_px", side_px), ("growth.start_px", start_px)):
            if value & (value - 1):
                raise ValueError(f"{key}: {value} is no power of two")
        if start_px > side_px:
            raise ValueError("growth.start_px is above image.side_px")
        if self.network.family == "dcgan":
            if start_px != side_px:
                raise ValueError("a dcgan does not grow: growth.start_px must be image.side_px")
            if side_px < SMALLEST_PX:
                raise ValueError(f"a dcgan needs image.side_px of {SMALLEST_PX} or more")
            if self.loss.gradient_penalty != "none":
                raise ValueError(
                    "loss.gradient_penalty is of one image's gradient, but a dcgan's batch "
                    "normalisation ties the images of a batch together: use none"
                )
        return self

    @property
    def spec(self) -> GeneratorSpec:
        """The generator of this run."""
        return GeneratorSpec(
            **self.network.model_dump(),
            side_px=self.image.side_px,
            labels=tuple(finding.value for finding in self.labels),
        )


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> GanConfig:
    """The recipe of `path` with overrides; ConfigError as `read_config`."""
    return read_config(GanConfig, path, overrides)
