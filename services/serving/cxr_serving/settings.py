"""Settings from the environment, where a misspelt name is an error."""

import os
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings


class ServiceSettings(BaseSettings):
    """Base of the services' settings; a subclass sets `env_prefix`."""

    traces_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="Base URL of an OTLP/HTTP collector; None is OTEL_EXPORTER_OTLP_ENDPOINT, and "
        "no traces without that.",
    )

    @property
    def resolved_traces_endpoint(self) -> str | None:
        """`traces_endpoint`, or the variable that all programs with traces know."""
        return self.traces_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None

    @model_validator(mode="after")
    def _refuse_unknown_names(self) -> Self:
        # A misspelt limit would otherwise fall back to its default in silence.
        prefix = str(self.model_config.get("env_prefix", "")).upper()
        known = {f"{prefix}{name}".upper() for name in type(self).model_fields}
        unknown = sorted(
            name
            for name in os.environ
            if prefix and name.upper().startswith(prefix) and name.upper() not in known
        )
        if unknown:
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        return self
