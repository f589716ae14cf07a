"""Configurations: one YAML file, every key of it required or refused, with overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_training.core.errors import ConfigError

Config = TypeVar("Config", bound=BaseModel)


class Section(BaseModel):
    """A part of a configuration; it refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_config(kind: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration of `path`, with `section.key=value` overrides (values as in YAML).

    Raises:
        ConfigError: no such file; an unknown or missing key; a value out of range; an override
            that is not of that form.
    """
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    raw: dict[str, Any] = yaml.safe_load(path.read_text())
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator:
            raise ConfigError(f"override {override!r} is not of the form section.key=value")
        *sections, last = key.split(".")
        target = raw
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = yaml.safe_load(value)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
