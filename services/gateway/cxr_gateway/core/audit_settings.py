"""What is done with the audit log beside keeping it: the settings of shipping and verifying."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cxr_serving.settings import ServiceSettings

SHIPPING_SCHEMES = ("file", "syslog+udp", "syslog+tcp", "syslog+tls", "s3")


class AuditSettings(ServiceSettings):
    """A part of the gateway's settings."""

    audit_retention_days: int | None = Field(
        default=None,
        ge=1,
        description="Older entries of the audit log are pruned, and leave an anchor; None keeps "
        "them all. The database lets none go that is younger than `audit keep` says, 90 days.",
    )
    audit_anchors_to: str = Field(
        default="",
        description="Where anchors of the audit log are shipped, apart by spaces: "
        "`file:///FILE`, `syslog+tls://HOST:6514` (`+tcp`, `+udp`; RFC 5424), "
        "`s3://BUCKET/PREFIX?days=3650` (object lock; with the `s3_*` settings).",
    )
    audit_entries_to: str = Field(
        default="", description="Likewise, every entry: a file of JSON lines, or syslog."
    )
    audit_ship_interval_s: float = Field(default=60.0, gt=0)
    audit_verify_interval_s: float = Field(
        default=24 * 3600.0, gt=0, description="How often a gateway verifies the whole log."
    )
    audit_summary_s: float = Field(
        default=60.0,
        gt=0,
        description="The first refusal of a kind is an entry; its repetitions within this time "
        "are counted in one more.",
    )
    audit_spool_mb: int = Field(
        default=8,
        ge=0,
        description="Reserved in `archive_dir` for entries while the database is full: what is "
        "read meanwhile is put on record there first. 0: nothing is answered then.",
    )
    database_volume_bytes: int = Field(
        default=0,
        ge=0,
        description="Size of the database server's volume, which it cannot tell: for the alert.",
    )

    @field_validator("audit_anchors_to", "audit_entries_to")
    @classmethod
    def _targets_are_known(cls, text: str) -> str:
        for target in text.split():
            parts = urlsplit(target)
            if parts.scheme not in SHIPPING_SCHEMES or not (parts.hostname or parts.path):
                known = ", ".join(SHIPPING_SCHEMES)
                raise ValueError(f"`{target}` is no place to ship to; schemes are {known}")
        return text

    @field_validator("audit_entries_to")
    @classmethod
    def _entries_go_to_a_stream(cls, text: str) -> str:
        if any(urlsplit(target).scheme == "s3" for target in text.split()):
            raise ValueError("entries are shipped to a file or to syslog; anchors may go to s3")
        return text
