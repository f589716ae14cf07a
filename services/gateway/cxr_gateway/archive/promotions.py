"""Which model of a role was promoted, kept in the database, so that every gateway goes by it.

A row is added for each promotion and each rollback, and none is ever changed; the latest row of a
role counts. It names a model and not an address: a model may move to the other address later, and
another model that takes its address is not promoted thereby.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from cxr_contracts import ModelIdentity
from cxr_gateway.archive.schema import exclusively, refuse_other
from cxr_gateway.archive.tables import PromotionRow, ShadowAnswerRow
from cxr_gateway.core.settings import GatewaySettings

ROLES = ("classifier", "detector")


class Slot(StrEnum):
    """Which of a role's two addresses: that of `*_URL`, or that of `SHADOW_*_URL`."""

    FIRST = "first"
    SECOND = "second"

    @property
    def other(self) -> "Slot":
        """The other one."""
        return Slot.SECOND if self is Slot.FIRST else Slot.FIRST


@dataclass(frozen=True)
class Promotion:
    """From `made_at` on, `model` answered in the place of `before`.

    `slot` is where the model was then; `undoes` is set where this took a promotion back.
    """

    number: int
    role: str
    made_at: datetime
    made_by: str
    undoes: int | None
    slot: Slot
    model: ModelIdentity
    before: ModelIdentity

    @classmethod
    def of(cls, row: PromotionRow) -> Self:
        """As it is kept."""
        # SQLite forgets the zone; the archive writes UTC only.
        made_at = row.made_at if row.made_at.tzinfo else row.made_at.replace(tzinfo=UTC)
        return cls(
            number=row.number,
            role=row.role,
            made_at=made_at,
            made_by=row.made_by,
            undoes=row.undoes,
            slot=Slot(row.slot),
            model=ModelIdentity(
                name=row.model_name, version=row.model_version, sha256=row.model_sha256
            ),
            before=ModelIdentity(
                name=row.before_name, version=row.before_version, sha256=row.before_sha256
            ),
        )


def active_slot(
    promoted: Promotion | None, first: ModelIdentity | None, second: ModelIdentity | None
) -> Slot:
    """The address of the model whose answers are shown.

    The promoted model's, wherever it is. Where its address does not say what it has, it is
    believed to have it still: then studies are partial, and not read by a model that was replaced.
    If neither address has it any more, the settings decide, which means the first.

    Args:
        promoted: the latest promotion or rollback of the role.
        first: the model at the first address; None if it is not known now.
        second: likewise.
    """
    if promoted is None:
        return Slot.FIRST
    if first is not None and first.sha256 == promoted.model.sha256:
        return Slot.FIRST
    if second is None:
        return promoted.slot
    return Slot.SECOND if second.sha256 == promoted.model.sha256 else Slot.FIRST


def latest_promotions(session: Session) -> dict[str, Promotion]:
    """The latest row of each role that has one."""
    latest = select(func.max(PromotionRow.number)).group_by(PromotionRow.role)
    rows = session.scalars(select(PromotionRow).where(PromotionRow.number.in_(latest)))
    return {row.role: Promotion.of(row) for row in rows}


def promotion_history(session: Session, limit: int = 50) -> list[Promotion]:
    """The latest first."""
    rows = session.scalars(select(PromotionRow).order_by(PromotionRow.number.desc()).limit(limit))
    return [Promotion.of(row) for row in rows]


class PromotionLog:
    """The history in a transaction that no other change of it runs beside."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def latest(self, role: str) -> Promotion | None:
        """The latest row of a role."""
        return latest_promotions(self._session).get(role)

    def last_standing(self, role: str) -> Promotion | None:
        """The last promotion of a role that no rollback has taken back."""
        wanted = select(PromotionRow).where(PromotionRow.role == role)
        rows = self._session.scalars(wanted.order_by(PromotionRow.number.desc()))
        return _last_standing([Promotion.of(row) for row in rows])

    def recorded(self, role: str, shadow: ModelIdentity, current: ModelIdentity) -> tuple[int, int]:
        """How many answers of a shadow beside the current model are recorded; how many failed."""
        of_pair = (
            ShadowAnswerRow.role == role,
            ShadowAnswerRow.model_sha256 == shadow.sha256,
            ShadowAnswerRow.current_sha256 == current.sha256,
        )
        counted = select(func.count(), func.count(ShadowAnswerRow.error)).where(*of_pair)
        recorded, failed = self._session.execute(counted).one()
        return recorded, failed

    def add(
        self,
        *,
        role: str,
        made_by: str,
        slot: Slot,
        model: ModelIdentity,
        before: ModelIdentity,
        undoes: int | None = None,
    ) -> None:
        """Write the next row."""
        last = self._session.scalar(select(func.max(PromotionRow.number))) or 0
        self._session.execute(
            insert(PromotionRow).values(
                number=last + 1,
                role=role,
                made_at=datetime.now(UTC),
                made_by=made_by,
                undoes=undoes,
                slot=slot.value,
                model_name=model.name,
                model_version=model.version,
                model_sha256=model.sha256,
                before_name=before.name,
                before_version=before.version,
                before_sha256=before.sha256,
            )
        )


@contextmanager
def changing_promotions(settings: GatewaySettings) -> Iterator[PromotionLog]:
    """The history of these settings' archive, to be changed; committed at the end."""
    with exclusively(settings.resolved_database_url, settings.database_timeout_s) as connection:
        refuse_other(connection)
        yield PromotionLog(Session(connection))


def _last_standing(latest_first: Sequence[Promotion]) -> Promotion | None:
    undone = {promotion.undoes for promotion in latest_first}
    return next(
        (one for one in latest_first if one.undoes is None and one.number not in undone), None
    )
