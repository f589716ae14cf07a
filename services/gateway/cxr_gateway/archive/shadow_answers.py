"""Answers of shadow models, stored beside the studies that they were asked about."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import ShadowAnswerRow, StudyRow

_ROWS_AT_ONCE = 500


def add_shadow_answer(session: Session, columns: dict[str, Any]) -> None:
    """Write a row."""
    session.execute(insert(ShadowAnswerRow).values(columns))


def latest_pair(session: Session, role: str) -> tuple[str, str] | None:
    """sha256 of the shadow, and of the model beside it, of the latest answer of a role."""
    latest = (
        select(ShadowAnswerRow.model_sha256, ShadowAnswerRow.current_sha256)
        .where(ShadowAnswerRow.role == role)
        .order_by(ShadowAnswerRow.id.desc())
        .limit(1)
    )
    row = session.execute(latest).first()
    return None if row is None else (row.model_sha256, row.current_sha256)


def shadow_answers(
    session: Session, role: str, pair: tuple[str, str], limit: int
) -> Iterator[tuple[ShadowAnswerRow, str]]:
    """The latest answers of a pair of models, each with its study's result as JSON."""
    row = ShadowAnswerRow
    wanted = (
        select(row, StudyRow.result_json)
        .join(StudyRow, (StudyRow.id == row.study_id) & (StudyRow.revision == row.revision))
        .where(row.role == role, row.model_sha256 == pair[0], row.current_sha256 == pair[1])
        .order_by(row.id.desc())
        .limit(limit)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    with session.execute(wanted) as found:
        for answer, result_json in found:
            pair_of_rows: tuple[ShadowAnswerRow, str] = (answer, result_json)
            yield pair_of_rows
