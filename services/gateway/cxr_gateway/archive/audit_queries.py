"""The log's entries as they are asked for: of a study, of someone; the latest first."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, Field, field_validator
from sqlalchemy import ColumnElement, Connection, literal_column, or_, select, text
from sqlalchemy.orm import Session

from cxr_gateway.archive.audit_entries import read_time
from cxr_gateway.archive.tables import AuditRow

# Of an entry's details: the digest of the list that it has, and of the one that it repeats.
_DIGESTS = {
    "sqlite": (
        "json_extract(details, '$.studies_digest')",
        "json_extract(details, '$.same_studies')",
    ),
    "postgresql": ("details::jsonb ->> 'studies_digest'", "details::jsonb ->> 'same_studies'"),
}


class AuditEntry(BaseModel):
    """An entry of the audit log; `outcome` is an HTTP status, or a command's exit status.

    `details` is what else belongs to it: `studies` that a list showed, `repeated` refusals.
    """

    seq: int = Field(ge=1, description="Its number, from 1, without gaps.")
    # A string, for the hash is over these characters.
    at: str = Field(
        description="When it was written, UTC with microseconds.",
        json_schema_extra={"format": "date-time"},
    )
    kind: str = Field(
        description="How they came in who did it: user, key, local, nobody, or a command."
    )
    subject: str = Field(description="Who it was.")
    department: str | None = Field(description="Whose studies they see; null for all.")
    action: str = Field(description="An operation's id, or a command.")
    study_id: str | None = Field(description="The study, if it was about one.")
    outcome: int = Field(ge=0, description="HTTP status; of a command, its exit status.")
    source: str | None = Field(description="The address of the request; null for a command.")
    request_id: str | None = Field(description="As in the logs; null for a command.")
    details: dict[str, Any] | None = Field(description="What else belongs to it; often null.")
    hash: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="SHA-256 over the entry and the one before."
    )

    @field_validator("details", mode="before")
    @classmethod
    def _read(cls, details: str | dict[str, Any] | None) -> Any:
        return json.loads(details) if isinstance(details, str) else details


class AuditPage(BaseModel):
    """Some lines, the latest first; `next_before` goes on where they end."""

    items: list[AuditEntry] = Field(description="The latest first.")
    next_before: int | None = Field(
        ge=1, description="Hand back as `before`; null on the last page."
    )


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines: each None is no condition.

    Attributes:
        study_id: of this study, or of a list that showed it, also one that showed the same again.
        subject: of this one.
        department: of those who are of this one.
        action: of this kind.
        since: written at this time or later, as in `Line.at`.
        before: with a smaller number.
        limit: no more than so many.
    """

    study_id: str | None = None
    subject: str | None = None
    department: str | None = None
    action: str | None = None
    since: str | None = None
    before: int | None = None
    limit: int = 100


def page(connection: Connection, query: AuditQuery) -> AuditPage:
    """The latest lines that are asked for."""
    columns = [getattr(AuditRow, name) for name in AuditEntry.model_fields]
    wanted = select(*columns).order_by(AuditRow.seq.desc()).limit(query.limit + 1)
    if query.study_id is not None:
        wanted = wanted.where((AuditRow.study_id == query.study_id) | _lists(connection, query))
    for column, value in (
        (AuditRow.subject, query.subject),
        (AuditRow.department, query.department),
        (AuditRow.action, query.action),
    ):
        if value is not None:
            wanted = wanted.where(column == value)
    if query.since is not None:
        wanted = wanted.where(AuditRow.at >= query.since)
    if query.before is not None:
        wanted = wanted.where(AuditRow.seq < query.before)
    rows = connection.execute(wanted).mappings().all()
    items = [AuditEntry.model_validate(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return AuditPage(items=items, next_before=items[-1].seq if more else None)


def last_backup(session: Session) -> datetime | None:
    """When the last backup was made; None if none is on record."""
    # Literally as in the partial index, which a parameter would not be.
    wanted = select(AuditRow.at).where(text("action = 'backup'"), AuditRow.outcome == 0)
    at = session.scalar(wanted.order_by(AuditRow.seq.desc()).limit(1))
    return None if at is None else read_time(at)


def _lists(connection: Connection, query: AuditQuery) -> ColumnElement[bool]:
    """Entries whose details name the study, or the digest of a list that showed it."""
    digest, same = _DIGESTS[connection.dialect.name]
    listed = _names(connection, query)
    column: ColumnElement[str] = literal_column(digest)
    digests = select(column).select_from(AuditRow).where(listed).correlate(None)
    # Its text first, which is cheap.
    repeated = AuditRow.details.contains('"same_studies"') & literal_column(same).in_(digests)
    return or_(listed, repeated)


def _names(connection: Connection, query: AuditQuery) -> ColumnElement[bool]:
    """Entries whose details name the study; the server has an index of them."""
    if connection.dialect.name == "sqlite":
        return AuditRow.details.contains(f'"{query.study_id}"')
    named = json.dumps([query.study_id])
    found = text("(details IS NOT NULL AND (details::jsonb -> 'studies') @> CAST(:named AS jsonb))")
    return cast("ColumnElement[bool]", found.bindparams(named=named))
