"""Statistics of images, written in the transaction of their study and read by week.

So no image is counted twice, or not at all.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from cxr_contracts import CATEGORIES, DriftReference
from cxr_gateway.archive.tables import StudyStatisticsRow
from cxr_gateway.core.image_numbers import ImageStatistics, numbers_of, view_of, week_of
from cxr_gateway.core.schemas import Study, UsedModel

# Of a week with more images the latest are read.
LATEST = 5_000
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class ImageGroup:
    """Images of one week with the same source, view and models.

    `numbers` is [images, NUMBERS] with NaN for what is not known.
    """

    accepted: bool
    source: str
    view: str
    ood_sha256: str
    classifier_sha256: str | None
    numbers: NDArray[np.float64]

    def fits(self, reference: DriftReference) -> bool:
        """Whether the reference's models read these images; the classifier may be missing."""
        ood, classifier = reference.models
        return self.ood_sha256 == ood and self.classifier_sha256 in (classifier, None)


def statistics_of(study: Study, measures: ImageStatistics | None) -> dict[str, Any] | None:
    """The row of a study that was just analysed; None where its image was not measured."""
    if measures is None:
        return None
    used: dict[str, UsedModel] = {model.role: model for model in study.models}
    numbers = numbers_of(study.image, study.ood, measures, study.findings)
    return {
        "study_id": study.id,
        "week": week_of(study.received_at),
        "accepted": study.ood.accepted,
        "source": study.image.source.value,
        "view": view_of(study.image.view),
        "ood_sha256": used["ood"].sha256,
        "classifier_sha256": used["classifier"].sha256 if "classifier" in used else None,
        "values_json": json.dumps(numbers, separators=(",", ":")),
    }


def put_statistics(session: Session, statistics: dict[str, Any] | None) -> None:
    """Write a row in the place of an earlier analysis'."""
    if statistics is not None:
        earlier = StudyStatisticsRow.study_id == statistics["study_id"]
        session.execute(delete(StudyStatisticsRow).where(earlier))
        session.execute(insert(StudyStatisticsRow), statistics)


def groups_by_week(
    session: Session, weeks: Sequence[str]
) -> dict[str, tuple[int, list[ImageGroup]]]:
    """For each of the weeks that has images: how many, and the latest of them in groups."""
    row = StudyStatisticsRow
    counted = select(row.week, func.count()).where(row.week.in_(weeks)).group_by(row.week)
    totals = session.execute(counted).all()
    return {week: (total, list(_groups(session, week))) for week, total in totals}


def _groups(session: Session, week: str) -> Iterator[ImageGroup]:
    row = StudyStatisticsRow
    latest = (
        select(row).where(row.week == week).order_by(row.study_id.desc()).limit(LATEST).subquery()
    )
    kinds = [
        latest.c[name] for name in ("accepted", *CATEGORIES, "ood_sha256", "classifier_sha256")
    ]
    wanted = select(*kinds, latest.c.values_json).execution_options(yield_per=_ROWS_AT_ONCE)
    kept: dict[tuple[Any, ...], list[NDArray[np.float64]]] = {}
    with session.execute(wanted) as found:
        for some in found.partitions():
            texts: dict[tuple[Any, ...], list[str]] = {}
            for *kind, values in some:
                texts.setdefault(tuple(kind), []).append(values)
            for key, lines in texts.items():
                # As an array at once: as Python's numbers a week would take ten times the memory,
                # in whichever thread it is, and a thread's memory is not given back.
                rows = np.array(json.loads(f"[{','.join(lines)}]"), dtype=np.float64)
                kept.setdefault(key, []).append(rows)
    names = [column.key for column in kinds]
    for key, parts in kept.items():
        yield ImageGroup(**dict(zip(names, key, strict=True)), numbers=np.concatenate(parts))
