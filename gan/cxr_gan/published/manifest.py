"""`manifest.json` of a published generator; the parts it shares are the other models'."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_contracts import DataSpec, Interval, ModelFile, TrainingSpec
from cxr_gan.spec import GeneratorSpec

Name = r"^[a-z0-9][a-z0-9._-]*$"


class JudgedFigure(BaseModel):
    """A measured figure beside what real images get, and what no radiographs get."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="As in the results' CSV, e.g. `frechet_distance`.")
    subset: str = Field(description="Empty, or what the figure is of, e.g. a label.")
    result: Interval
    n: int = Field(gt=0, description="How many images of each side stand behind it.")
    floor: Interval | None = Field(description="Held-out real images in the samples' place.")
    ceiling: float | None = Field(description="Noise in the samples' place.")
    blurred: float | None = Field(description="Held-out real images, blurred, in their place.")


class GeneratorManifest(BaseModel):
    """A published generator's own description of itself."""

    # A misspelt key in a manifest must not fall back to a default in silence.
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    role: Literal["generator"]
    name: str = Field(pattern=Name)
    version: str = Field(pattern=r"^[\w.-]+$")
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    spec: GeneratorSpec
    weights: ModelFile
    gallery: ModelFile
    data: DataSpec
    training: TrainingSpec
    extractor: str = Field(description="In whose features the distances are.")
    figures: list[JudgedFigure]
    intended_use: list[str]
    forbidden_use: list[str]
