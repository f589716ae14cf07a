"""The log's lines as they are asked for: of a study, of someone, since a time; the latest first."""

from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy import Connection, select

from cxr_gateway.archive.tables import AuditRow


class AuditEntry(BaseModel):
    """A line of the audit log; `outcome` is an HTTP status, or a command's exit status."""

    seq: int
    at: str
    kind: str
    subject: str
    department: str | None
    action: str
    study_id: str | None
    outcome: int
    source: str | None
    request_id: str | None
    hash: str


class AuditPage(BaseModel):
    """Some lines, the latest first; `next_before` goes on where they end."""

    items: list[AuditEntry]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class LineQuery:
    """Which lines: each None is no condition.

    Attributes:
        study_id: of this study.
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


def page(connection: Connection, query: LineQuery) -> AuditPage:
    """The latest lines that are asked for."""
    columns = [getattr(AuditRow, name) for name in AuditEntry.model_fields]
    wanted = select(*columns).order_by(AuditRow.seq.desc()).limit(query.limit + 1)
    for column, value in (
        (AuditRow.study_id, query.study_id),
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
