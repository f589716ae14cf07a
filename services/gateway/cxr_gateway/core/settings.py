"""Settings of the gateway: environment variables `CXR_GATEWAY_*`, units in the names."""

import os
import sys
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from cxr_gateway.core.access_settings import LOOPBACK_NAMES, AccessSettings, is_loopback
from cxr_gateway.core.audit_settings import AuditSettings
from cxr_gateway.core.schemas import ViewerLink
from cxr_gateway.core.viewer_links import viewer_links

_MEBIBYTE = 1024 * 1024
_PREFIX = "CXR_GATEWAY_"
# At which the published figures of triage were measured.
DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET = 0.10, 0.25
# Settings of 0.1 under another name today; one that is still set stops the start.
RENAMED = {
    "READER_CONNECT_TIMEOUT_S": "INFERENCE_CONNECT_TIMEOUT_S",
    "READER_PROBE_TIMEOUT_S": "INFERENCE_PROBE_TIMEOUT_S",
    "READER_PROBE_TTL_S": "INFERENCE_PROBE_TTL_S",
    "READER_MAX_CONNECTIONS": "INFERENCE_MAX_CONNECTIONS",
    "READER_MAX_ANSWER_BYTES": "INFERENCE_MAX_RESPONSE_BYTES",
    "GATE_MODEL_DIR": "OOD_MODEL_DIR",
    "MAX_READINGS": "MAX_CONCURRENT_ANALYSES",
    "PICTURES_IDLE_S": "RENDERING_IDLE_S",
}


class GatewaySettings(AccessSettings, AuditSettings):
    """Everything that an operator can set; the defaults run on one machine without a server."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = "INFO"
    allowed_hosts: list[str] | None = Field(
        default=None,
        description="Names in the Host header that are answered, `*` for any; None is the names "
        "of loopback while it is open to this machine only, and any otherwise.",
    )
    own_names: list[str] = Field(
        default=[],
        description="Names by which its neighbours call it, answered beside those of loopback "
        "where `allowed_hosts` is None: the DICOM node's under compose.",
    )

    classifier_url: str = "http://127.0.0.1:8001"
    detector_url: str = "http://127.0.0.1:8002"
    classifier_timeout_s: float = Field(default=10.0, gt=0)
    detector_timeout_s: float = Field(default=10.0, gt=0)
    service_token: SecretStr = Field(
        default=SecretStr(""), description="Sent to the inference services; theirs is the same."
    )
    service_tls_ca_file: Path | None = Field(
        default=None,
        description="With the two below: inference services at `https` addresses are known by this "
        "authority, and shown this gateway's certificate.",
    )
    service_tls_cert_file: Path | None = None
    service_tls_key_file: Path | None = None
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

    backup_key_file: Path | None = Field(
        default=None,
        description="A file with a secret of 32 bytes or more, kept outside of backups: they carry "
        "a MAC by it, and are restored only with the right one.",
    )
    retention_days: int | None = Field(
        default=None, ge=1, description="Older studies are deleted for good; None keeps them all."
    )

    max_upload_bytes: int = Field(default=50_000_000, gt=0)
    max_pixels: int = Field(default=50_000_000, gt=0)
    upload_idle_timeout_s: float = Field(
        default=30.0, gt=0, description="Longest silence of a client in the middle of an upload."
    )
    upload_max_s: float = Field(
        default=600.0, gt=0, description="Longest time that an upload may take in all."
    )
    upload_min_bytes_per_s: int = Field(
        default=4096,
        ge=0,
        description="Slower uploads are ended; the first ten seconds do not count.",
    )
    max_uploads: int = Field(
        default=128, gt=0, description="Being received at once, on disk; more are answered 503."
    )
    max_uploads_per_principal: int = Field(
        default=16, gt=0, description="Of these, of one user or key; more are answered 429."
    )
    max_uploads_per_address: int = Field(
        default=32, gt=0, description="Likewise, from one address."
    )
    max_concurrent_analyses: int = Field(
        default=8,
        gt=0,
        description="Decoded and with the inference services at once; others wait on disk.",
    )
    max_studies_in_flight: int = Field(
        default=32, gt=0, description="More at once are answered 503 with Retry-After."
    )
    max_studies_per_principal: int = Field(
        default=16, gt=0, description="Of these, of one user or key; more are answered 429."
    )
    max_pending_studies: int = Field(
        default=1000,
        gt=0,
        description="Kept by `Prefer: respond-async` and not analysed yet; more are answered 503.",
    )
    cpu_threads: int = Field(default=2, gt=0, description="Decode, check and encode images.")
    decoders: Literal["in-process", "worker", "confined"] | None = Field(
        default=None,
        description="Where files are decoded: in the gateway, in worker processes without "
        "environment and limited, by a system call filter, too, where libseccomp is; or with it "
        "only. None is `worker` on Linux.",
    )
    decoder_memory_mb: int = Field(
        default=2000, ge=300, description="Of address space, for each worker process."
    )
    decoder_cpu_s: int = Field(
        default=10, gt=0, description="Of a processor, for one file; others are answered 422."
    )

    rendering_idle_s: float = Field(
        default=1.0, ge=0, description="Nobody served for so long: images are made ahead."
    )
    readiness_interval_s: float = Field(default=5.0, gt=0)
    shutdown_grace_s: float = Field(default=15.0, ge=0)

    ood_model_dir: Path = Path("models/ood/ood-cxr")
    triage_dir: Path = Field(
        default=Path("models/triage"),
        description="A folder for each triage model; the one fitted to the active models is used.",
    )
    alert_budget: float = Field(
        default=DEFAULT_ALERT_BUDGET,
        description="The share of radiographs that is to be urgent, 0..1; "
        "`cxr-gateway triage tune` fits the thresholds to your own.",
    )
    soon_budget: float = Field(
        default=DEFAULT_SOON_BUDGET, description="The further share that is to be soon, 0..1."
    )
    max_wait_minutes: int = Field(
        default=60,
        ge=0,
        le=525_600,
        description="A study that nobody opened for so long rises to the top; 0: never.",
    )
    read_first_departments: str = Field(
        default="",
        description="Departments, by commas, whose readers give a first opinion before the page "
        "shows the models' answers; `*`: all.",
    )
    report_templates: Path | None = Field(
        default=None,
        description="The sentences of a drafted report, TOML; None is the gateway's own, which is "
        "the example to copy: cxr_gateway/reporting/templates.toml.",
    )
    triage_refresh_s: float = Field(
        default=20.0,
        gt=0,
        le=60,
        description="How soon tuned thresholds hold at every gateway.",
    )
    reference_dir: Path = Field(
        default=Path("models/reference"),
        description="A folder for each reference of drift; the one of the models that answer "
        "is used.",
    )
    drift_min_studies: int = Field(
        default=300, gt=0, description="A week with fewer radiographs is not compared."
    )
    drift_refresh_s: float = Field(
        default=300.0, gt=0, description="How often the current week's metrics are computed."
    )
    changes_poll_s: float = Field(
        default=0.5,
        gt=0,
        le=60,
        description="How often the database is asked for changes while somebody follows them.",
    )
    max_event_streams: int = Field(
        default=256, gt=0, description="At once, by `/api/v1/events`; more are answered 503."
    )
    max_event_streams_per_principal: int = Field(
        default=32, gt=0, description="Of these, of one user or key; more are answered 429."
    )
    event_heartbeat_s: float = Field(
        default=15.0,
        gt=0,
        le=60,
        description="The longest silence of a stream of events; also how soon it ends after its "
        "session or key.",
    )
    event_stream_max_s: float = Field(
        default=3600.0,
        gt=0,
        description="A stream ends after so long, and its client comes back where it was.",
    )
    webhook_allow: list[str] = Field(
        default=[],
        description="Names, addresses and networks (CIDR) that webhooks may go to although they "
        "are not public; by http://, too.",
    )
    webhook_timeout_s: float = Field(
        default=10.0, gt=0, le=60, description="Of each wait of a call."
    )
    webhook_poll_s: float = Field(
        default=1.0, gt=0, le=60, description="How often it is looked for what is to be sent."
    )
    webhook_retry_min_s: float = Field(
        default=5.0, gt=0, description="After a first failure; twice as long after each further."
    )
    webhook_retry_max_s: float = Field(default=21_600.0, gt=0, description="At most.")
    webhook_max_age_h: float = Field(
        default=72.0, gt=0, description="What could not be delivered for so long is given up."
    )
    page_dir: Path = Path("frontend/dist")
    viewer_links: list[str] = Field(
        default=[],
        description="Other viewers that a study of the page links to, each `NAME=URL`, with "
        "`{study_uid}`, `{patient_id}` or `{accession}` in the URL, `https:`, `http:` or "
        "`weasis:`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_renamed_setting(cls, values: Any) -> Any:
        for old, new in RENAMED.items():
            if _PREFIX + old in os.environ:
                raise ValueError(f"{_PREFIX}{old} is called {_PREFIX}{new} now; rename it")
        return values

    @field_validator("decoders", mode="before")
    @classmethod
    def _empty_is_the_usual(cls, value: Any) -> Any:
        return value or None

    @field_validator("shadow_classifier_url", "shadow_detector_url", mode="after")
    @classmethod
    def _empty_is_none(cls, url: str | None) -> str | None:
        return url or None

    @model_validator(mode="after")
    def _viewers_can_be_linked_to(self) -> Self:
        _ = self.resolved_viewer_links
        return self

    @model_validator(mode="after")
    def _budgets_are_shares(self) -> Self:
        refuse_budgets(
            self.alert_budget,
            self.soon_budget,
            names=("CXR_GATEWAY_ALERT_BUDGET", "CXR_GATEWAY_SOON_BUDGET"),
        )
        return self

    @model_validator(mode="after")
    def _service_tls_is_whole(self) -> Self:
        given = {self.service_tls_ca_file, self.service_tls_cert_file, self.service_tls_key_file}
        if None in given and given != {None}:
            raise ValueError(
                "CXR_GATEWAY_SERVICE_TLS_CA_FILE, _CERT_FILE and _KEY_FILE go together"
            )
        return self

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
        return [*LOOPBACK_NAMES, *self.own_names] if is_own else ["*"]

    @property
    def reached_at(self) -> str:
        """The address that others see: a reverse proxy's, or this process' own."""
        return self.published_address or self.host

    def reads_first(self, department: str | None) -> bool:
        """Whether a department's readers give a first opinion; None is no department."""
        asked = [name.strip() for name in self.read_first_departments.split(",")]
        return "*" in asked or (department is not None and department in asked)

    @property
    def resolved_viewer_links(self) -> list[ViewerLink]:
        """`viewer_links` as the page is told them; ValueError for one that is none."""
        return viewer_links(self.viewer_links, f"{_PREFIX}VIEWER_LINKS")

    @property
    def resolved_decoders(self) -> Literal["in-process", "worker", "confined"]:
        """`decoders`, or what the system can."""
        return self.decoders or ("worker" if sys.platform == "linux" else "in-process")

    @property
    def resolved_migrate_at_start(self) -> bool:
        """`migrate_at_start`, or what follows from `database_url`."""
        return self.database_url is None if self.migrate_at_start is None else self.migrate_at_start

    @property
    def resolved_database_url(self) -> str:
        """`database_url`, or the SQLite file in the archive's folder."""
        return self.database_url or f"sqlite:///{self.archive_dir.resolve() / 'archive.sqlite3'}"


def refuse_budgets(alert: float, soon: float, names: tuple[str, str]) -> None:
    """ValueError with a sentence unless both are shares, and together at most all radiographs."""
    for name, value in zip(names, (alert, soon), strict=True):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} is {value:g}; it is a share of radiographs, from 0 to 1")
    if alert + soon > 1.0 + 1e-9:  # 0.7 and 0.3, in binary
        raise ValueError(
            f"{names[0]} ({alert:g}) and {names[1]} ({soon:g}) are more than all radiographs "
            "together; they may add up to 1"
        )
