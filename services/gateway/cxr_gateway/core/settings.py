"""Settings of the gateway: environment variables `CXR_GATEWAY_*`, units in the names."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from cxr_gateway.core.access_settings import LOOPBACK_NAMES, AccessSettings, is_loopback

_MEBIBYTE = 1024 * 1024


class GatewaySettings(AccessSettings):
    """Everything that an operator can set; the defaults run on one machine without a server."""

    model_config = SettingsConfigDict(env_prefix="CXR_GATEWAY_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = "INFO"
    allowed_hosts: list[str] | None = Field(
        default=None,
        description="Names in the Host header that are answered, `*` for any; None is the names "
        "of loopback while it is open to this machine only, and any otherwise.",
    )

    classifier_url: str = "http://127.0.0.1:8001"
    detector_url: str = "http://127.0.0.1:8002"
    classifier_timeout_s: float = Field(default=10.0, gt=0)
    detector_timeout_s: float = Field(default=10.0, gt=0)
    inference_connect_timeout_s: float = Field(default=1.0, gt=0)
    inference_probe_timeout_s: float = Field(default=1.0, gt=0)
    inference_probe_ttl_s: float = Field(default=1.0, ge=0)
    inference_max_connections: int = Field(default=64, gt=0)
    inference_max_response_bytes: int = Field(default=4 * _MEBIBYTE, gt=0)

    shadow_classifier_url: str | None = Field(
        default=None,
        description="A second classifier, of another model, that reads beside the one that "
        "answers; empty is none.",
    )
    shadow_detector_url: str | None = Field(default=None, description="Likewise.")
    shadow_queue_length: int = Field(
        default=256, gt=0, description="Studies that wait for a shadow; more are not read by it."
    )
    shadow_idle_s: float = Field(
        default=0.2, ge=0, description="Nobody served for so long: a shadow may read."
    )
    promotion_poll_s: float = Field(
        default=2.0, gt=0, description="How soon a promoted model answers at every gateway."
    )

    archive_dir: Path = Path("var/archive")
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL; None is an SQLite file in `archive_dir`."
    )
    database_timeout_s: float = Field(default=5.0, gt=0)
    migrate_at_start: bool | None = Field(
        default=None,
        description="Whether a start brings an older database to today's schema, or refuses; None "
        "is yes for the SQLite file in `archive_dir` and no for a `database_url`.",
    )

    storage: Literal["folder", "s3"] = Field(
        default="folder", description="Where the archive's files are kept: `archive_dir`, or S3."
    )
    s3_bucket: str = ""
    s3_prefix: str = Field(default="studies/", description="Before the key of every file.")
    s3_endpoint_url: str | None = Field(default=None, description="None is Amazon's.")
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr | None = Field(
        default=None, description="None, for both keys: from AWS_* or the machine's role."
    )
    s3_secret_key: SecretStr | None = None
    s3_timeout_s: float = Field(default=5.0, gt=0, description="Of each of three attempts.")
    s3_sweep_age_s: float = Field(
        default=3600.0, gt=0, description="A file without a study is swept when it is so old."
    )

    retention_days: int | None = Field(
        default=None, ge=1, description="Older studies are deleted for good; None keeps them all."
    )
    audit_retention_days: int | None = Field(
        default=None,
        ge=1,
        description="Older lines of the audit log are removed, and leave an anchor; None keeps "
        "them all.",
    )

    max_upload_bytes: int = Field(default=50_000_000, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    upload_idle_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest silence of a client in the middle of an upload."
    )
    max_concurrent_analyses: int = Field(
        default=8, gt=0, description="Decoded and with the readers at once; others wait on disk."
    )
    max_studies_in_flight: int = Field(
        default=32, gt=0, description="More at once are answered 503 with Retry-After."
    )
    cpu_threads: int = Field(default=2, gt=0, description="Decode, gate and encode images.")

    rendering_idle_s: float = Field(
        default=1.0, ge=0, description="Nobody served for so long: pictures are made ahead."
    )
    readiness_interval_s: float = Field(default=5.0, gt=0)
    shutdown_grace_s: float = Field(default=15.0, ge=0)

    ood_model_dir: Path = Path("models/ood/ood-cxr")
    rescoring_dir: Path = Field(
        default=Path("models/rescoring"),
        description="A folder for each rescoring; the one fitted to the models that answer is used.",
    )
    reference_dir: Path = Field(
        default=Path("models/reference"),
        description="A folder for each reference of drift; the one of the models that answer "
        "is used.",
    )
    drift_min_studies: int = Field(
        default=300, gt=0, description="A week with fewer films is not judged."
    )
    drift_refresh_s: float = Field(
        default=300.0, gt=0, description="How often the current week's metrics are computed."
    )
    page_dir: Path = Path("frontend/dist")

    @field_validator("shadow_classifier_url", "shadow_detector_url", mode="after")
    @classmethod
    def _empty_is_none(cls, url: str | None) -> str | None:
        return url or None

    @model_validator(mode="after")
    def _s3_is_whole(self) -> Self:
        if self.storage == "s3" and not self.s3_bucket:
            raise ValueError("CXR_GATEWAY_STORAGE is s3, so CXR_GATEWAY_S3_BUCKET must be set")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("CXR_GATEWAY_S3_ACCESS_KEY and CXR_GATEWAY_S3_SECRET_KEY go together")
        return self

    @property
    def resolved_allowed_hosts(self) -> list[str]:
        """`allowed_hosts`, or what follows from where it is reached and by whom.

        A name of elsewhere that resolves to this machine (DNS rebinding) gains nothing where a
        key or a session is asked for: a browser keeps the page's cookies for the page's name.
        """
        if self.allowed_hosts is not None:
            return self.allowed_hosts
        is_own = self.resolved_access == "open" and is_loopback(self.reached_at)
        return [*LOOPBACK_NAMES] if is_own else ["*"]

    @property
    def reached_at(self) -> str:
        """The address that others see: a front door's, or this process' own."""
        return self.published_address or self.host

    @property
    def resolved_migrate_at_start(self) -> bool:
        """`migrate_at_start`, or what follows from `database_url`."""
        return self.database_url is None if self.migrate_at_start is None else self.migrate_at_start

    @property
    def resolved_database_url(self) -> str:
        """`database_url`, or the SQLite file in the archive's folder."""
        return self.database_url or f"sqlite:///{self.archive_dir.resolve() / 'archive.sqlite3'}"
