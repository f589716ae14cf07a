"""What a person sees of a training: a bar for the epoch under way, a line for each before it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

# Images more, and where the run stands.
Advance = Callable[[int, str], None]


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
    """Drawn here, each with `prefix`; `position` is that of the bar among several processes'."""

    prefix: str = ""
    position: int = 0

    @contextmanager
    def epoch(self, name: str, *, done: int, total: int, shown: bool) -> Iterator[Advance]:
        """A bar that counts images."""
        at_terminal = sys.stderr.isatty()
        with tqdm(
            desc=self.prefix + name,
            unit="image",
            initial=done,
            total=total,
            # A log file wants fewer lines than a person at a terminal, and has no line above.
            mininterval=0.5 if at_terminal else 10,
            position=self.position if at_terminal else None,
            disable=not shown,
        ) as bar:

            def advance(images: int, standing: str) -> None:
                bar.set_postfix_str(standing, refresh=False)
                bar.update(images)

            yield advance

    def line(self, text: str) -> None:
        """Above the bar."""
        tqdm.write(self.prefix + text)
