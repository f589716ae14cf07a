"""Settings of the DICOM node, `CXR_DICOM_*` in the environment; its peers are in a file."""

import ipaddress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from cxr_serving.settings import ServiceSettings

_MEBIBYTE = 1 << 20
# PS3.5, 6.2: no backslash, no control characters; blanks at the ends mean nothing, others do.
AE_TITLE = r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$"


class DicomSettings(ServiceSettings):
    """Everything that an operator can set; without a file of peers nobody may send."""

    model_config = SettingsConfigDict(env_prefix="CXR_DICOM_", extra="ignore", frozen=True)

    host: str = Field(
        default="127.0.0.1", description="Address to listen on, for DICOM and the probes."
    )
    dicom_port: int = Field(default=11112, ge=0, le=65535)
    port: int = Field(
        default=8003, ge=0, le=65535, description="Of the probes, the metrics and the page."
    )
    operations_password: SecretStr = Field(
        default=SecretStr(""),
        description="For the page `/operations` on `port`: what failed, and buttons that try it "
        "again; unset: there is no page.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    ae_title: str = Field(default="CXR", pattern=AE_TITLE, description="The title that peers call.")
    peers_file: Path | None = Field(
        default=None,
        description="A TOML file of senders and destinations (docs/integration.md); none: nobody "
        "may send, and nothing is delivered.",
    )
    any_sender: bool = Field(
        default=False,
        description="Take radiographs from any AE title; only where nobody but this machine "
        "reaches `host`.",
    )

    drop_others: bool = Field(
        default=True,
        description="Acknowledge, note and drop objects of other SOP classes (CT, reports, ...), "
        "so that an archive may route whole studies here; false: they are not accepted.",
    )

    hl7_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Where orders are taken by HL7 v2 over MLLP; none: nowhere.",
    )
    order_window_h: float = Field(
        default=12.0,
        gt=0,
        description="A radiograph is matched to an order by its patient only so near to its time.",
    )

    tls_certificate: Path | None = Field(
        default=None, description="PEM; with it the DICOM port speaks TLS only."
    )
    tls_key: Path | None = Field(default=None, description="PEM, of the certificate.")
    tls_ca: Path | None = Field(
        default=None,
        description="PEM; peers must show a certificate that it signed, here and at destinations "
        "with `tls = true`.",
    )

    gateway_url: str = Field(
        default="http://127.0.0.1:8000", pattern=r"^https?://[^\s?#]+$", description="Its API."
    )
    gateway_key: SecretStr = Field(
        default=SecretStr(""),
        description="An API key of the gateway with the role `integrator`; unset where it is open.",
    )
    gateway_timeout_s: float = Field(default=60.0, gt=0, description="Of one analysis.")

    spool_dir: Path = Field(
        default=Path("var/dicom"), description="What is received and not yet analysed; the ledger."
    )
    min_free_mb: int = Field(
        default=1000, ge=0, description="With less room on the spool's volume nothing is accepted."
    )
    max_waiting: int = Field(
        default=20_000, gt=0, description="Instances that wait; then nothing more is accepted."
    )
    keep_rows_days: int = Field(
        default=90, gt=0, description="The ledger forgets what was finished so long ago."
    )

    max_associations: int = Field(default=16, gt=0, le=1000)
    max_pdu_bytes: int = Field(
        default=262_144, ge=4096, le=16 * _MEBIBYTE, description="Longest PDU that is read."
    )
    max_object_mb: int = Field(default=100, gt=0, description="A longer one aborts its sender.")
    network_timeout_s: float = Field(
        default=60.0, gt=0, description="Longest silence of a peer in an association."
    )

    forward_workers: int = Field(
        default=2, gt=0, le=32, description="Instances that are analysed at once."
    )
    retry_min_s: float = Field(default=2.0, gt=0, description="Doubled with each failure in a row.")
    retry_max_s: float = Field(default=600.0, gt=0)
    max_breaks: int = Field(
        default=5,
        gt=0,
        description="A file at which the gateway breaks so often is put aside into `failed/`.",
    )
    partial_attempts: int = Field(
        default=3,
        gt=0,
        description="How often an analysis without one of its services is tried again before "
        "its partial result stands.",
    )

    delivery_max_age_h: float = Field(
        default=72.0, gt=0, description="A result that could not be delivered so long has failed."
    )
    confirm_after_s: float = Field(
        default=300.0,
        gt=0,
        description="A storage commitment that was not answered so long is asked for again.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("CXR_DICOM_TLS_CERTIFICATE and CXR_DICOM_TLS_KEY go together")
        if self.any_sender and not _is_loopback(self.host):
            raise ValueError(
                f"CXR_DICOM_ANY_SENDER is for loopback, and CXR_DICOM_HOST is {self.host}: name "
                "the senders in CXR_DICOM_PEERS_FILE"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
