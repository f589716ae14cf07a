"""Configurations: one YAML file, every key of it required or refused, with overrides."""

from collections.abc import Mapping, Sequence
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

    A file may begin with `base: OTHER.yaml`, a file beside it, and state only what differs. An
    override replaces the whole value of its key.

    Raises:
        ConfigError: no such file; an unknown or missing key; a value out of range; an override
            that is not of that form.
    """
    raw = _read(path)
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
        problems = [
            ".".join(map(str, x["loc"]))
            + ": " * bool(x["loc"])
            + x["msg"].removeprefix("Value error, ")
            for x in error.errors(include_url=False)
        ]
        raise ConfigError(f"{path}: {'; '.join(problems)}") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: keys and values are expected")
    base = raw.pop("base", None)
    if base is None:
        return raw
    if path.name == base:
        raise ConfigError(f"{path}: is its own base")
    return _merged(_read(path.parent / str(base)), raw)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
