"""Settings from the environment, where a misspelt name is an error."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

RuntimeChoice = Literal["auto", "onnxruntime", "torch"]


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


# On a CPU, two images at once took 140 MB more and came 2% faster.
MOST_ON_A_GPU = 16


class InferenceSettings(ServiceSettings):
    """What both inference services can be set to; each adds its prefix, port and model."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8001, ge=0, le=65535)
    model_dir: Path = Field(default=Path("models"), description="A published model's folder.")
    runtime: RuntimeChoice = Field(
        default="auto", description="`auto` is PyTorch where CUDA is, ONNX Runtime elsewhere."
    )
    device: str = Field(
        default="auto", description="PyTorch's device; `auto` is `cuda:0` where CUDA is, or `cpu`."
    )
    int8: Literal["auto", "off"] = Field(
        default="auto",
        description="`auto` runs a model's file with 8-bit integers on a CPU with instructions for "
        "them (VNNI) where it is the faster one, `off` never does; ONNX Runtime alone.",
    )
    threads: int = Field(
        default=0, ge=0, description="Of one run of the model on a CPU; 0: as many as cores."
    )
    max_batch_size: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Images in one run of the model, at most; at start the service measures up to "
        "which number an image gets faster. Unset: 1 on a CPU, where more take memory and bring "
        f"little, and {MOST_ON_A_GPU} on a GPU.",
    )
    max_wait_ms: float = Field(
        default=2.0, ge=0, le=1000, description="How long a batch of two or more waits to fill."
    )
    max_queue_length: int = Field(default=32, ge=1, description="The next image gets a 503.")
    service_token: SecretStr = Field(
        default=SecretStr(""),
        description="What the gateway has to send as `Authorization: Bearer`; unset, nobody is "
        "asked. Probes and metrics are answered without.",
    )
    tls_cert_file: Path | None = Field(
        default=None,
        description="With the two below: HTTPS with this certificate, and for whoever shows one of "
        "`tls_client_ca_file` only, probes and metrics included.",
    )
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    decode_threads: int = Field(default=2, ge=1, le=32)
    max_upload_bytes: int = Field(
        default=51_000_000, gt=0, description="Holds `max_pixels` as an uncompressed PNG."
    )
    max_inside_bytes: int = Field(
        default=200_000_000, gt=0, description="Of all uploads being read at the same time."
    )
    max_pixels: int = Field(default=50_000_000, gt=0)
    shutdown_s: int = Field(default=10, ge=0, description="For requests that are being answered.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        given = {self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file}
        if None in given and given != {None}:
            raise ValueError("tls_cert_file, tls_key_file and tls_client_ca_file go together")
        return self

    def most_at_once(self, device: str) -> int:
        """Images in one run of the model on `device`, at most."""
        return self.max_batch_size or (1 if device == "cpu" else MOST_ON_A_GPU)

    @property
    def model_threads(self) -> int:
        """Threads of one run of the model: the setting, or the cores this process may use."""
        return self.threads or len(os.sched_getaffinity(0))
