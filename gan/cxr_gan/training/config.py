"""The recipe of a run: one YAML file, every key of it required or refused."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cxr_contracts import Finding
from cxr_gan.networks.dcgan import SMALLEST_PX
from cxr_gan.networks.widths import COARSEST_PX
from cxr_gan.spec import Family, GeneratorSpec
from cxr_training.core.errors import ConfigError

ALL: Literal["all"] = "all"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_a_power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError(f"{value} is no power of two")
    return value


class Network(_Section):
    """The shape of both networks; see `GeneratorSpec`."""

    family: Family
    latent_size: int = Field(gt=0)
    channels: int = Field(gt=0, description="Of the finest layer; each coarser one has twice.")
    most_channels: int = Field(gt=0)


class Image(_Section):
    """What is shown as real."""

    side_px: int = Field(ge=COARSEST_PX, le=1024)
    views: tuple[Literal["PA", "AP"], ...] = Field(description="Empty: all there are.")
    least_source_px: int | None = Field(
        gt=0, description="Width of the smallest file to learn from; null: side_px."
    )
    flip_share: float = Field(ge=0, le=1, description="Mirrored; hearts are on the left.")

    _power_of_two = field_validator("side_px")(_is_a_power_of_two)


class Augmentation(_Section):
    """What real and generated images go through before they are judged; 0: nothing.

    Zhao et al., NeurIPS 2020.
    """

    brightness: float = Field(ge=0, le=1, description="Of the half range, uniform within +-.")
    contrast: float = Field(ge=0, lt=1, description="Relative, uniform within 1 +- this.")
    translation: float = Field(ge=0, lt=1, description="Of the side, uniform within +-.")
    cutout: float = Field(ge=0, lt=1, description="Side of the square left out, of the side.")


class Loss(_Section):
    """What the networks play for."""

    adversarial: Literal["non_saturating", "wasserstein"]
    gradient_penalty: Literal["none", "wgan_gp", "r1"]
    penalty_weight: float = Field(ge=0)
    penalty_interval: int = Field(gt=0, description="Steps between penalties, weighted as much.")
    drift: float = Field(ge=0, description="Weight of the real logits' mean square.")
    augmentation: Augmentation | None


class Growth(_Section):
    """The stages of a run, each of twice the side of the one before."""

    start_px: int = Field(ge=COARSEST_PX, description="side_px: one stage, nothing grows.")
    images_per_stage: int = Field(gt=0, description="Shown, at most, of every stage but the last.")
    images_at_last: int = Field(gt=0, description="Shown, at most, of the last.")
    time_factor: float = Field(gt=0, description="Share of the time, against the stage before.")
    fade_share: float = Field(ge=0, lt=1, description="Of a stage: its layer is blended in.")

    _power_of_two = field_validator("start_px")(_is_a_power_of_two)


Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(_Section):
    """The optimisers and the budget."""

    batch_size: int = Field(gt=1)
    generator_learning_rate: float = Field(gt=0)
    discriminator_learning_rate: float = Field(gt=0)
    betas: tuple[Beta, Beta]
    ema_half_life_images: int = Field(gt=0, description="Of the published, averaged generator.")
    max_minutes: float | None = Field(gt=0, description="Of all stages together.")
    report_images: int = Field(gt=0, description="Shown between two grids and metrics lines.")
    checkpoint_minutes: float = Field(gt=0, description="Each stage ends with one, too.")
    threads: int | None = Field(gt=0, description="Of PyTorch; null leaves its own choice.")
    precision: Literal["auto", "float32", "bfloat16"]


class GanConfig(_Section):
    """A whole run."""

    name: str
    seed: int = Field(ge=0)
    network: Network
    image: Image
    labels: Literal["all"] | tuple[Finding, ...] = Field(
        description="What may be asked for: `all` fourteen, some of them, or none."
    )
    loss: Loss
    growth: Growth
    training: Training

    @field_validator("labels")
    @classmethod
    def _are_once_each(cls, value: Any) -> Any:
        if value != ALL and len(set(value)) < len(value):
            raise ValueError("a label stands there twice")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.growth.start_px > self.image.side_px:
            raise ValueError("growth.start_px is above image.side_px")
        if self.network.family == "dcgan":
            if self.growth.start_px != self.image.side_px:
                raise ValueError("a dcgan does not grow: growth.start_px must be image.side_px")
            if self.image.side_px < SMALLEST_PX:
                raise ValueError(f"a dcgan needs image.side_px of {SMALLEST_PX} or more")
            if self.loss.gradient_penalty != "none":
                raise ValueError(
                    "loss.gradient_penalty is of one image's gradient, but a dcgan's batch "
                    "normalisation ties the images of a batch together: use none"
                )
        return self

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The labels in the order of the networks' input."""
        return tuple(Finding) if self.labels == ALL else self.labels

    @property
    def spec(self) -> GeneratorSpec:
        """The generator of this run."""
        return GeneratorSpec(
            **self.network.model_dump(),
            side_px=self.image.side_px,
            labels=tuple(finding.value for finding in self.findings),
        )


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> GanConfig:
    """The recipe of `path`, with `section.key=value` overrides (values as in YAML).

    A recipe may begin with `base: OTHER.yaml` and state only what is other than there.

    Raises:
        ConfigError: the file cannot be read; an unknown or missing key; a value out of range; an
            override that is not of that form.
    """
    try:
        raw = _read_with_base(path)
        for override in overrides:
            _override(raw, override)
        return GanConfig.model_validate(raw)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {'; '.join(_sentences(error))}") from error


def _read_with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    if path.resolve() in above:
        raise ConfigError(f"{path}: is its own base")
    raw = yaml.safe_load(path.read_text())
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: is no recipe: it has no keys")
    if "base" not in raw:
        return raw
    merged = _read_with_base(path.parent / str(raw.pop("base")), (*above, path.resolve()))
    for key, value in raw.items():
        before = merged.get(key)
        merged[key] = before | value if isinstance(before, dict) else value
    return merged


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    *sections, last = key.split(".")
    target = raw
    for section in sections:
        inner = target.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {section} has no keys")
        target = inner
    target[last] = yaml.safe_load(value)


def _sentences(error: ValidationError) -> list[str]:
    sentences = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("tuple["))
        said = problem["msg"].removeprefix("Value error, ")
        if problem["loc"][:1] == ("labels",):
            if problem["type"] == "literal_error":
                continue
            said = f"{problem['input']!r} is none of {', '.join(Finding)}"
            if problem["type"] == "value_error":
                said = problem["msg"].removeprefix("Value error, ")
            key = "labels"
        sentences.append(f"{key}: {said}" if key else said)
    return sentences
