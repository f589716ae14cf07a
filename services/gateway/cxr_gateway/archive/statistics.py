"""The statistics of a film, written in the transaction of its study.

So no film is counted twice, or not at all.
"""

from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from cxr_gateway.archive.observed_tables import StudyStatisticsRow
from cxr_gateway.core.schemas import Study
from cxr_gateway.drift.image import columns_of
from cxr_gateway.drift.measures import ImageStatistics


def statistics_of(study: Study, measures: ImageStatistics | None) -> dict[str, Any] | None:
    """The row of a study; None where its picture was not measured."""
    return None if measures is None else columns_of(study, measures)


def put_statistics(session: Session, statistics: dict[str, Any] | None) -> None:
    """Write a row in the place of an earlier reading's."""
    if statistics is not None:
        earlier = StudyStatisticsRow.study_id == statistics["study_id"]
        session.execute(delete(StudyStatisticsRow).where(earlier))
        session.execute(insert(StudyStatisticsRow).values(statistics))
