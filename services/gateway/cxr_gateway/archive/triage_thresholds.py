"""Thresholds of triage that a site set from its own radiographs, used by every gateway.

A row is added for each tuning and each reset, and none is ever changed; the latest row of a triage
model counts. The audit log's entry is written in the same transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.orm import Session

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Event
from cxr_gateway.archive.schema import exclusively, refuse_other
from cxr_gateway.archive.tables import StudyRow, TriageThresholdRow
from cxr_gateway.core.schemas import Priority, StudyStatus
from cxr_gateway.core.settings import GatewaySettings

_ROWS_AT_ONCE = 500
_WITH_PRIORITY = (StudyStatus.COMPLETE.value, StudyStatus.PARTIAL.value)


@dataclass(frozen=True)
class SiteThresholds:
    """From which scores on this site's studies are urgent and soon.

    Attributes:
        urgent: of the probability of an immediate finding.
        soon: of the probability of an immediate or same-day finding.
        alert_budget: the share of radiographs that was to be urgent, 0..1.
        soon_budget: the further share that was to be soon.
        n_images: on how many radiographs they were set.
        set_at: when.
    """

    urgent: float
    soon: float
    alert_budget: float
    soon_budget: float
    n_images: int
    set_at: datetime

    @classmethod
    def of(cls, row: TriageThresholdRow) -> Self | None:
        """As they are kept; None for a reset."""
        if row.urgent is None or row.soon is None:
            return None
        # SQLite forgets the zone; the archive writes UTC only.
        set_at = row.set_at if row.set_at.tzinfo else row.set_at.replace(tzinfo=UTC)
        return cls(row.urgent, row.soon, row.alert_budget, row.soon_budget, row.n_images, set_at)


def site_thresholds(session: Session) -> dict[str, SiteThresholds]:
    """What holds now, by the sha256 of the triage model's manifest."""
    latest = select(func.max(TriageThresholdRow.number)).group_by(TriageThresholdRow.model_sha256)
    rows = session.scalars(select(TriageThresholdRow).where(TriageThresholdRow.number.in_(latest)))
    found = {row.model_sha256: SiteThresholds.of(row) for row in rows}
    return {sha256: one for sha256, one in found.items() if one is not None}


def latest_results(session: Session, limit: int) -> Iterator[str]:
    """The results, as JSON, of the latest studies that both services answered."""
    wanted = (
        select(StudyRow.result_json)
        .where(StudyRow.status == StudyStatus.COMPLETE.value)
        .order_by(StudyRow.id.desc())
        .limit(limit)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    with session.scalars(wanted) as found:
        yield from found


def priorities_since(session: Session, first_id: str) -> dict[Priority, int]:
    """How many studies from this id on have each priority."""
    counted = (
        select(StudyRow.priority, func.count())
        .where(StudyRow.id >= first_id, StudyRow.status.in_(_WITH_PRIORITY))
        .group_by(StudyRow.priority)
    )
    found = {priority: count for priority, count in session.execute(counted) if priority}
    return {priority: found.get(priority.value, 0) for priority in Priority}


class ThresholdLog:
    """The history in a transaction that no other change of it runs beside."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def site(self) -> dict[str, SiteThresholds]:
        """What holds now; see `site_thresholds`."""
        return site_thresholds(Session(self._connection))

    def add(
        self, model_sha256: str, thresholds: SiteThresholds | None, made_by: str, event: Event
    ) -> None:
        """Write the next row, None for a reset, and put `event` on record."""
        connection = self._connection
        chain.lock(connection)
        last = connection.scalar(select(func.max(TriageThresholdRow.number))) or 0
        connection.execute(
            insert(TriageThresholdRow).values(
                number=last + 1,
                model_sha256=model_sha256,
                set_at=thresholds.set_at if thresholds else datetime.now(UTC),
                set_by=made_by,
                urgent=thresholds.urgent if thresholds else None,
                soon=thresholds.soon if thresholds else None,
                alert_budget=thresholds.alert_budget if thresholds else 0.0,
                soon_budget=thresholds.soon_budget if thresholds else 0.0,
                n_images=thresholds.n_images if thresholds else 0,
            )
        )
        chain.append(connection, [event])


@contextmanager
def changing_thresholds(settings: GatewaySettings) -> Iterator[ThresholdLog]:
    """The history of these settings' archive, to be changed; committed at the end."""
    with exclusively(settings.resolved_database_url, settings.database_timeout_s) as connection:
        refuse_other(connection)
        yield ThresholdLog(connection)
