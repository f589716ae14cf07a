"""Turns at a source, and images that kill their worker."""

from datetime import datetime, time, timedelta

import pytest

from cxr_screening.coordinator import Deaths, Politeness, Turns, parse_hours
from cxr_screening.errors import ScreeningError


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def date(self) -> datetime:
        return datetime(2026, 3, 1, 12) + timedelta(seconds=self.now)


def test_no_more_fetches_at_once_than_allowed() -> None:
    turns = Turns(Politeness(max_fetches=2), clock=Clock())
    first, second = turns.try_take(), turns.try_take()
    assert turns.try_take() is None
    assert first is not None
    assert second is not None
    turns.hand_back(first, 10)
    assert turns.try_take() is not None


def test_a_turn_of_a_dead_worker_is_taken_back() -> None:
    clock = Clock()
    turns = Turns(Politeness(max_fetches=1), clock=clock)
    assert turns.try_take() is not None
    assert turns.try_take() is None
    clock.now = 700
    assert turns.try_take() is not None


def test_bytes_a_second_hold_on_average_whatever_the_size_of_files() -> None:
    clock = Clock()
    turns = Turns(Politeness(max_bytes_per_s=1_000_000), clock=clock)
    fetched = 0
    while clock.now < 100:
        if (turn := turns.try_take()) is not None:
            turns.hand_back(turn, 15_000_000)
            fetched += 15_000_000
        clock.now += 0.05
    assert 90_000_000 <= fetched <= 120_000_000


@pytest.mark.parametrize(
    ("hours", "open_at", "shut_at"),
    [("19:00-06:30", time(23), time(12)), ("08:00-18:00", time(12), time(7, 59))],
)
def test_hours(hours: str, open_at: time, shut_at: time) -> None:
    polite = Politeness(hours=parse_hours(hours))
    assert polite.is_open(datetime.combine(datetime(2026, 3, 1), open_at))
    assert not polite.is_open(datetime.combine(datetime(2026, 3, 1), shut_at))


@pytest.mark.parametrize("text", ["19-6", "25:00-06:00", "08:00-08:00", "night"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ScreeningError, match="no span of hours"):
        parse_hours(text)


def test_only_the_image_that_kills_is_given_up() -> None:
    deaths = Deaths()
    assert deaths.begin(5) == 0  # as usual; the worker dies
    assert deaths.begin(5) == 1
    assert not deaths.enter(5, 100)
    assert not deaths.enter(5, 101)  # and dies again
    assert deaths.begin(5) == 2
    assert not deaths.enter(5, 100)
    assert deaths.enter(5, 101)
    assert not deaths.enter(5, 102)
    deaths.end(5)
    assert deaths.begin(5) == 0
