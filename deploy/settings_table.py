"""`python -m deploy.settings_table > docs/settings.md`: every setting, from the code."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from cxr_classifier.settings import ClassifierSettings
from cxr_detector.settings import DetectorSettings
from cxr_dicom.settings import DicomSettings
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.settings import ServiceSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "Gateway": GatewaySettings,
    "Classifier": ClassifierSettings,
    "Detector": DetectorSettings,
    "DICOM node": DicomSettings,
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_HEAD = """\
# Settings

Written by `make generate` from the settings in the code; do not edit it here. They are environment
variables of each service; a misspelt name and a value outside its bounds stop the service with a
sentence. A list is written as JSON. [operations.md](operations.md) says which of them
docker-compose.yml takes from `.env`.
"""


def markdown() -> str:
    """The tables as `docs/settings.md`."""
    return _HEAD + "".join(_section(title, kind) for title, kind in SERVICES.items())


def _section(title: str, kind: type[ServiceSettings]) -> str:
    prefix = str(kind.model_config.get("env_prefix", ""))
    rows = "\n".join(_row(prefix, name, field) for name, field in kind.model_fields.items())
    return (
        f"\n## {title}\n\n| variable | default | bounds | what it is |\n|---|---|---|---|\n{rows}\n"
    )


def _row(prefix: str, name: str, field: FieldInfo) -> str:
    cells = (
        f"`{prefix}{name.upper()}`",
        _default(field.default),
        "; ".join(_bounds(field)),
        " ".join((field.description or "").split()),
    )
    return "| " + " | ".join(cells) + " |"


def _default(value: Any) -> str:
    if value is None:
        return "–"
    shown = value.as_posix() if isinstance(value, Path) else str(value)
    return f"`{shown}`" if shown else "–"


def _bounds(field: FieldInfo) -> Iterator[str]:
    choices = [
        choice for choice in get_args(field.annotation) if choice and isinstance(choice, str)
    ]
    if choices:
        yield ", ".join(f"`{choice}`" for choice in choices if choice)
    for bound in field.metadata:
        for name, words in _BOUNDS.items():
            if (limit := getattr(bound, name, None)) is not None:
                yield f"{words} {limit}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
