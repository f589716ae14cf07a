"""What a run directory says of itself, as far as publishing needs it."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_contracts import DataSpec, TrainingSpec
from cxr_gan.errors import GanError
from cxr_training.core.runs import portable_command

RUN_FACTS, RUN_CONFIG = "run.json", "config.yaml"


class _Session(BaseModel):
    command: str
    commit: str


class _Facts(BaseModel):
    """The parts of `run.json` that a manifest repeats; others are let pass."""

    model_config = ConfigDict(extra="ignore")

    sessions: list[_Session] = Field(min_length=1)
    sources: list[str]
    split_sha256: str
    n_train: int
    n_validation: int = 0


def read_run(run: Path) -> tuple[DataSpec, TrainingSpec]:
    """What the run was trained on, and how; GanError where it does not say."""
    path = run / RUN_FACTS
    try:
        facts = _Facts.model_validate(json.loads(path.read_text()))
        data = DataSpec(
            sources=facts.sources,
            split_sha256=facts.split_sha256,
            n_train=facts.n_train,
            n_validation=facts.n_validation,
        )
        last = facts.sessions[-1]
        command = portable_command(last.command)
        return data, TrainingSpec(command=command, commit=last.commit, recipe=read_recipe(run))
    except OSError as error:
        raise GanError(f"{error.filename} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        said = error.errors(include_url=False)[0]
        raise GanError(f"{path}: {'.'.join(map(str, said['loc']))}: {said['msg']}") from error
    except ValueError as error:
        raise GanError(f"{path} is no JSON: {error}") from error


def read_recipe(run: Path) -> dict[str, Any]:
    """The resolved configuration of the run; GanError where there is none."""
    path = run / RUN_CONFIG
    try:
        recipe = yaml.safe_load(path.read_text())
    except OSError as error:
        raise GanError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise GanError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise GanError(f"{path} has no keys")
    return recipe
