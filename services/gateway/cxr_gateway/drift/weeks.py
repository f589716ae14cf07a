"""The films of some weeks, by week, kind of file, view and pair of models.

Of a week with more than `LATEST` films the latest are taken; they are read a few at a time.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cxr_contracts import CATEGORIES, NUMBERS, DriftReference
from cxr_gateway.archive.observed_tables import StudyStatisticsRow
from cxr_gateway.drift.image import week_of

LATEST = 5_000
_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class Films:
    """Films of one week that have in common what is written here.

    `numbers` is [films, NUMBERS] with NaN for what is not known.
    """

    accepted: bool
    source: str
    view: str
    gate_sha256: str
    classifier_sha256: str | None
    numbers: NDArray[np.float64]

    def fit(self, reference: DriftReference) -> bool:
        """Whether the models that read them are the reference's; the classifier may be missing."""
        gate, classifier = reference.models
        return self.gate_sha256 == gate and self.classifier_sha256 in (classifier, None)


@dataclass
class Week:
    """An ISO week, its films, and how many there were in all."""

    name: str
    starts_on: date
    films: list[Films] = field(default_factory=list)
    total: int = 0

    def of(self, reference: DriftReference) -> list[Films]:
        """Those that can be held against the reference."""
        return [films for films in self.films if films.fit(reference)]


def weeks_until(now: datetime, count: int) -> Iterator[Week]:
    """The `count` weeks that end with that of `now`, the earliest first, without films."""
    today = now.astimezone(UTC).date()
    monday = today - timedelta(days=today.weekday())
    for back in range(count - 1, -1, -1):
        starts_on = monday - timedelta(weeks=back)
        noon = datetime(starts_on.year, starts_on.month, starts_on.day, 12, tzinfo=UTC)
        yield Week(week_of(noon), starts_on)


def filled(session: Session, weeks: Sequence[Week]) -> list[Week]:
    """`weeks` with their films."""
    row = StudyStatisticsRow
    counted = (
        select(row.week, func.count())
        .where(row.week.in_([week.name for week in weeks]))
        .group_by(row.week)
    )
    totals: dict[str, int] = {}
    for name, total in session.execute(counted):
        totals[name] = total
    for week in weeks:
        week.total = totals.get(week.name, 0)
        week.films = list(_films(session, week.name)) if week.total else []
    return list(weeks)


def counts_of(films: Sequence[Films], category: str) -> dict[str, int]:
    """How many films there are of each word of a category."""
    counts: dict[str, int] = {}
    for some in films:
        word: str = getattr(some, category)
        counts[word] = counts.get(word, 0) + len(some.numbers)
    return counts


def values_of(films: Sequence[Films], number: str) -> NDArray[np.float64]:
    """All values of one number."""
    column = NUMBERS.index(number)
    return np.concatenate([np.empty(0), *(some.numbers[:, column] for some in films)])


def _films(session: Session, week: str) -> Iterator[Films]:
    row = StudyStatisticsRow
    latest = (
        select(row).where(row.week == week).order_by(row.study_id.desc()).limit(LATEST).subquery()
    )
    kinds = [
        latest.c[name] for name in ("accepted", *CATEGORIES, "gate_sha256", "classifier_sha256")
    ]
    wanted = select(*kinds, latest.c.values_json).execution_options(yield_per=_ROWS_AT_ONCE)
    kept: dict[tuple[Any, ...], list[NDArray[np.float64]]] = {}
    for some in session.execute(wanted).partitions():
        texts: dict[tuple[Any, ...], list[str]] = {}
        for *kind, values in some:
            texts.setdefault(tuple(kind), []).append(values)
        for key, lines in texts.items():
            # As an array at once: as Python's numbers a week would take ten times the memory, in
            # whichever thread it is, and a thread's memory is not given back.
            rows = np.array(json.loads(f"[{','.join(lines)}]"), dtype=np.float64)
            kept.setdefault(key, []).append(rows)
    names = [column.key for column in kinds]
    for key, parts in kept.items():
        yield Films(**dict(zip(names, key, strict=True)), numbers=np.concatenate(parts))
