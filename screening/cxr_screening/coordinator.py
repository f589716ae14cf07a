"""What all workers share: turns at a source that must not be hurried, and which images kill.

One actor of the cluster. Its state is small and lives as long as a run.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from datetime import time as day_time

from cxr_screening.errors import ScreeningError

# Longer than any fetch: the turn of a worker that died is taken back.
_LEASE_S = 600.0
_POLL_S = 0.02
_OUT_OF_HOURS_POLL_S = 1.0
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class Politeness:
    """What a source is asked for at most.

    Attributes:
        max_fetches: at once, of all workers; None is no limit.
        max_bytes_per_s: likewise, on average.
        hours: from when to when it is asked at all, local time; None is always.
    """

    max_fetches: int | None = None
    max_bytes_per_s: float | None = None
    hours: tuple[day_time, day_time] | None = None

    @property
    def asks_nothing(self) -> bool:
        """Whether nobody has to wait for a turn."""
        return self == Politeness()

    def is_open(self, now: datetime) -> bool:
        """Whether the source may be asked now."""
        if self.hours is None:
            return True
        start, end = self.hours
        moment = now.time()
        if start <= end:
            return start <= moment < end
        return moment >= start or moment < end


def parse_hours(text: str) -> tuple[day_time, day_time]:
    """`19:00-06:30`. Raises ScreeningError."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ScreeningError(f"{text} is no span of hours like 19:00-06:30.")
    hour, minute, last_hour, last_minute = (int(part) for part in found.groups())
    try:
        start, end = day_time(hour, minute), day_time(last_hour, last_minute)
    except ValueError as error:
        raise ScreeningError(f"{text} is no span of hours like 19:00-06:30.") from error
    if start == end:
        raise ScreeningError(f"{text} is no span of hours: it begins when it ends.")
    return start, end


class Turns:
    """Gives turns within limits; a turn ends when it is handed back with what was fetched."""

    def __init__(
        self,
        limits: Politeness,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._limits = limits
        self._clock, self._now = clock, now
        self._busy: dict[int, float] = {}
        self._next = 0
        # Bytes that may be fetched before the rate is over the limit; a debt is waited off.
        self._credit = limits.max_bytes_per_s or 0.0
        self._credited_at = clock()

    def try_take(self) -> int | None:
        """A turn, or None if there is none now."""
        now = self._clock()
        for turn in [turn for turn, since in self._busy.items() if now - since > _LEASE_S]:
            del self._busy[turn]
        limits = self._limits
        if not limits.is_open(self._now()):
            return None
        if limits.max_fetches is not None and len(self._busy) >= limits.max_fetches:
            return None
        if (rate := limits.max_bytes_per_s) is not None:
            self._credit = min(rate, self._credit + rate * (now - self._credited_at))
            self._credited_at = now
            if self._credit <= 0:
                return None
        self._next += 1
        self._busy[self._next] = now
        return self._next

    def hand_back(self, turn: int, n_bytes: int) -> None:
        """End a turn."""
        self._busy.pop(turn, None)
        self._credit -= n_bytes

    @property
    def is_out_of_hours(self) -> bool:
        """Whether it is not only a moment until the next turn."""
        return not self._limits.is_open(self._now())


class Deaths:
    """Tells an image that kills its worker from one that merely was in the same batch.

    A batch that is begun a second time lost its worker: from then on each image of it is noted
    before it is read. One that was noted and not finished is the one that kills.
    """

    def __init__(self) -> None:
        self._attempts: dict[int, int] = {}
        self._reading: dict[int, int | None] = {}
        self._fatal: dict[int, set[int]] = {}

    def begin(self, batch: int) -> int:
        """How often the batch was begun before; 0 at first."""
        before = self._attempts.get(batch, 0)
        self._attempts[batch] = before + 1
        if (image := self._reading.pop(batch, None)) is not None:
            self._fatal.setdefault(batch, set()).add(image)
        return before

    def enter(self, batch: int, image: int) -> bool:
        """Note that an image is being read; whether it killed a worker before."""
        if image in self._fatal.get(batch, ()):
            return True
        self._reading[batch] = image
        return False

    def end(self, batch: int) -> None:
        """The batch is done."""
        for known in (self._attempts, self._reading, self._fatal):
            known.pop(batch, None)


class Coordinator:
    """The actor; see `Turns` and `Deaths`."""

    def __init__(self, limits: Politeness) -> None:
        self._turns = Turns(limits)
        self._deaths = Deaths()

    async def take_turn(self) -> int:
        """A turn, as soon as there is one."""
        while (turn := self._turns.try_take()) is None:
            wait_s = _OUT_OF_HOURS_POLL_S if self._turns.is_out_of_hours else _POLL_S
            await asyncio.sleep(wait_s)
        return turn

    async def hand_back(self, turn: int, n_bytes: int) -> None:
        """See `Turns`."""
        self._turns.hand_back(turn, n_bytes)

    async def begin(self, batch: int) -> int:
        """See `Deaths`."""
        return self._deaths.begin(batch)

    async def enter(self, batch: int, image: int) -> bool:
        """See `Deaths`."""
        return self._deaths.enter(batch, image)

    async def end(self, batch: int) -> None:
        """See `Deaths`."""
        self._deaths.end(batch)
