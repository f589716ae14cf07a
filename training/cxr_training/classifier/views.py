"""What a person sees of a training: a bar for the epoch under way, a line for each before it.

A member that trains in a process of its own sends both to the process that started it, which draws
them below each other: two processes that write to one terminal overwrite each other.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NoReturn, Protocol

from tqdm import tqdm

# Images more, and where the run stands.
Advance = Callable[[int, str], None]
# Seconds between two messages of a member.
_PAUSE_S = 0.5


class View(Protocol):
    """Where a run shows how far it is."""

    def epoch(
        self, name: str, *, done: int, total: int, shown: bool
    ) -> AbstractContextManager[Advance]:
        """An epoch under way, `done` of its `total` images seen before."""

    def line(self, text: str) -> None:
        """What stays to be read."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Drawn here, each with `prefix`."""

    prefix: str = ""

    @contextmanager
    def epoch(self, name: str, *, done: int, total: int, shown: bool) -> Iterator[Advance]:
        """A bar that counts images."""
        bar = _bar(self.prefix + name, done, total, disable=not shown)

        def advance(images: int, standing: str) -> None:
            bar.set_postfix_str(standing, refresh=False)
            bar.update(images)

        with bar:
            yield advance

    def line(self, text: str) -> None:
        """Above the bar."""
        tqdm.write(self.prefix + text)


@dataclass(frozen=True, slots=True)
class EpochNews:
    """How far an epoch is."""

    name: str
    done: int
    total: int
    standing: str


@dataclass(frozen=True, slots=True)
class Sent:
    """Sent through a pipe, as `EpochNews` and as lines."""

    pipe: "Connection[object, object]"

    @contextmanager
    def epoch(self, name: str, *, done: int, total: int, shown: bool) -> Iterator[Advance]:
        """News every half second."""
        news, sent_at = EpochNews(name, done, total, ""), 0.0

        def advance(images: int, standing: str) -> None:
            nonlocal news, sent_at
            news = EpochNews(name, news.done + images, total, standing)
            if shown and time.monotonic() - sent_at >= _PAUSE_S:
                sent_at = time.monotonic()
                self.pipe.send(news)

        yield advance
        if shown:
            self.pipe.send(news)

    def line(self, text: str) -> None:
        """One message."""
        self.pipe.send(text)


class MemberBars:
    """A bar for each of several members, drawn by the process that started them."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        # In a log file there is no line above to go back to.
        rows = range(len(names)) if sys.stderr.isatty() else [0] * len(names)
        self._bars = [
            _bar(name, 0, 1, position=row, leave=False)
            for name, row in zip(names, rows, strict=True)
        ]
        self._epochs = [""] * len(names)

    def show(self, member: int, message: EpochNews | str) -> None:
        """What a member sent."""
        name, bar = self._names[member], self._bars[member]
        if isinstance(message, str):
            tqdm.write(f"{name}, {message}")
            return
        if message.name != self._epochs[member]:
            self._epochs[member] = message.name
            bar.reset(message.total)
            bar.initial = bar.n = bar.last_print_n = message.done
            bar.set_description(f"{name}, {message.name}", refresh=False)
        bar.set_postfix_str(message.standing, refresh=False)
        bar.update(message.done - bar.n)

    def close(self) -> None:
        """Take the bars away."""
        for bar in self._bars:
            bar.close()


def _bar(
    name: str,
    done: int,
    total: int,
    *,
    disable: bool = False,
    position: int | None = None,
    leave: bool = True,
) -> "tqdm[NoReturn]":
    return tqdm(
        desc=name,
        unit="image",
        initial=done,
        total=total,
        # A log file wants fewer lines than a person at a terminal.
        mininterval=0.5 if sys.stderr.isatty() else 10,
        disable=disable,
        position=position,
        leave=leave,
    )
