"""What stands in a generator's folder, published or as its run left it."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from cxr_contracts import MANIFEST_NAME, DataSpec, Interval, ModelFile, TrainingSpec
from cxr_gan.errors import read_keys, validated
from cxr_gan.networks.spec import GeneratorSpec
from cxr_serving.model_folder import manifest_in
from cxr_training.core.config import Section
from cxr_training.core.runs import portable_command

RUN_WEIGHTS, RUN_SPEC = "generator.safetensors", "spec.json"
RUN_FACTS, RUN_CONFIG = "run.json", "config.yaml"


class Figure(Section):
    """A measured figure beside what real images get, and what no radiographs get."""

    name: str = Field(description="E.g. `frechet_distance`.")
    subset: str = Field(description="Empty, or what the figure is of, e.g. a label.")
    result: Interval
    n: int = Field(gt=0, description="How many images of each side stand behind it.")
    floor: Interval | None = Field(
        default=None, description="Held-out real images in the samples' place."
    )
    ceiling: float | None = Field(default=None, description="Noise in the samples' place.")
    blurred: float | None = Field(default=None, description="Held-out real images, blurred, there.")


class GeneratorManifest(Section):
    """`manifest.json` of a published generator; the parts it shares are the other models'."""

    schema_version: Literal[1]
    role: Literal["generator"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[\w.-]+$")
    created_at: str = Field(description="ISO 8601, UTC.")
    licence: str
    spec: GeneratorSpec
    weights: ModelFile
    gallery: ModelFile
    data: DataSpec
    training: TrainingSpec
    extractor: str = Field(description="In whose features the distances are.")
    figures: list[Figure]
    intended_use: list[str]
    forbidden_use: list[str]


class _Session(BaseModel):
    command: str
    commit: str


class _RunFacts(BaseModel):
    """The parts of `run.json` that a manifest repeats."""

    sessions: list[_Session] = Field(min_length=1)
    sources: list[str]
    split_sha256: str
    n_train: int
    n_validation: int = 0


def is_published(folder: Path) -> bool:
    """Whether the folder holds a published generator."""
    return (folder / MANIFEST_NAME).exists()


def data_of(folder: Path) -> DataSpec:
    """What the generator was trained on; GanError where the folder does not say."""
    if is_published(folder):
        return manifest_in(folder, GeneratorManifest).data
    return read_run(folder)[0]


def read_run(run: Path) -> tuple[DataSpec, TrainingSpec]:
    """What the run was trained on, and how; GanError where it does not say."""
    facts = validated(_RunFacts, read_keys(run / RUN_FACTS), run / RUN_FACTS)
    data, last = DataSpec(**facts.model_dump(exclude={"sessions"})), facts.sessions[-1]
    command, recipe = portable_command(last.command), read_keys(run / RUN_CONFIG)
    return data, TrainingSpec(command=command, commit=last.commit, recipe=recipe)
