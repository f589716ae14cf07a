"""The images of some weeks, by week, source, view and pair of models."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import NUMBERS, DriftReference
from cxr_gateway.archive.statistics import ImageGroup
from cxr_gateway.core.image_numbers import week_of


@dataclass
class Week:
    """An ISO week, its images, and how many there were in all."""

    name: str
    starts_on: date
    groups: list[ImageGroup] = field(default_factory=list)
    total: int = 0

    def of(self, reference: DriftReference) -> list[ImageGroup]:
        """Those that can be held against the reference."""
        return [group for group in self.groups if group.fits(reference)]


def weeks_until(now: datetime, count: int) -> Iterator[Week]:
    """The `count` weeks that end with that of `now`, the earliest first, without images."""
    today = now.astimezone(UTC).date()
    monday = today - timedelta(days=today.weekday())
    for back in range(count - 1, -1, -1):
        starts_on = monday - timedelta(weeks=back)
        noon = datetime(starts_on.year, starts_on.month, starts_on.day, 12, tzinfo=UTC)
        yield Week(week_of(noon), starts_on)


def filled(weeks: Sequence[Week], found: Mapping[str, tuple[int, list[ImageGroup]]]) -> list[Week]:
    """`weeks` with their images, as the archive's `groups_by_week` found them."""
    for week in weeks:
        week.total, week.groups = found.get(week.name, (0, []))
    return list(weeks)


def counts_of(groups: Sequence[ImageGroup], category: str) -> dict[str, int]:
    """How many images there are of each word of a category."""
    counts: dict[str, int] = {}
    for some in groups:
        word: str = getattr(some, category)
        counts[word] = counts.get(word, 0) + len(some.numbers)
    return counts


def values_of(groups: Sequence[ImageGroup], number: str) -> NDArray[np.float64]:
    """All values of one number."""
    column = NUMBERS.index(number)
    return np.concatenate([np.empty(0), *(some.numbers[:, column] for some in groups)])
