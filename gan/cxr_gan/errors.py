"""What the user can mend: one sentence, exit status 2."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from cxr_training.core.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class GanError(UserError, RuntimeError):
    """What was asked for cannot be done; the message says why, with the file and the entry."""


def read_keys(path: Path) -> dict[str, Any]:
    """The keys of a YAML or JSON file; GanError where there are none."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GanError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise GanError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise GanError(f"{path} has no keys")
    return raw


def validated(kind: type[Model], raw: dict[str, Any], where: Path) -> Model:
    """`raw` as a `kind`; GanError names the first key of the file `where` that cannot be used."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"]))
        said = problem["msg"].removeprefix("Value error, ")
        raise GanError(f"{where}: {key}{': ' if key else ''}{said}") from error
