"""How far a run is: a line in the terminal, and a file that `status` reads."""

import os
import socket
import time
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

# How far back the rate looks.
_RATE_S = 60.0


class _Result(Protocol):
    @property
    def n_written(self) -> int: ...
    @property
    def n_already(self) -> int: ...
    @property
    def counts(self) -> dict[str, int]: ...
    @property
    def run(self) -> str: ...


class Progress:
    """Of one run; nothing is drawn where there is no terminal."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} images/s, {task.fields[failed]} failed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = datetime.now(UTC)
        self._seen = [(time.monotonic(), 0)]

    def __enter__(self) -> Self:
        self._bars.start()
        self._task = self._bars.add_task("reading", total=None, rate="0.0", failed=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, result: _Result, total: int | None) -> None:
        """Rows were added."""
        now = time.monotonic()
        self._seen.append((now, result.n_written))
        while len(self._seen) > 2 and now - self._seen[1][0] > _RATE_S:
            self._seen.pop(0)
        if self._task is not None:
            self._bars.update(
                self._task,
                total=total,
                completed=result.n_written,
                rate=f"{self.rate:.1f}",
                failed=result.counts.get("failed", 0),
            )

    @property
    def rate(self) -> float:
        """Images a second, lately."""
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0

    def facts(self, result: _Result, total: int | None, ended: str | None = None) -> dict[str, Any]:
        """For `status`; `ended` says how, once it has."""
        left = None if total is None else total - result.n_written
        return {
            "run": result.run,
            "state": ended or "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self._started.isoformat(timespec="seconds"),
            "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "n_already": result.n_already,
            "n_read": result.n_written,
            "n_to_read": total,
            "counts": dict(result.counts),
            "images_per_s": round(self.rate, 2),
            "seconds_left": round(left / self.rate) if left is not None and self.rate else None,
        }
