"""Clients that go on uploading while something breaks, and a ledger of every answer that they got.

Each client sends a radiograph until it is answered 2xx, as a careful client does: the same bytes
and the same Idempotency-Key, after a pause. Every fourth radiograph is the one before it once more,
so that two clients send the same bytes at the same time.
"""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
import numpy as np

from support.dicom_images import dicom
from support.images import encoded, radiograph_like
from support.live_gateway import STUDIES
from support.waiting import eventually

_REPEATED_EVERY = 4
_PAUSE_S = 0.05


def content_number(number: int) -> int:
    """Which content radiograph `number` has; a repeated radiograph has that of the one before."""
    repeated = number % _REPEATED_EVERY == _REPEATED_EVERY - 1
    return number - 1 if repeated else number


def radiograph_of(number: int, side_px: int = 120) -> bytes:
    """Radiograph `number`: a PNG, a JPEG or a DICOM file, no two contents alike."""
    content = content_number(number)
    # The kinds take turns in another step than the repetitions, so that each is repeated.
    grey = radiograph_like(side_px, side_px - 20, seed=content)
    kind = content % 5
    if kind in (0, 3):
        return dicom(grey.astype(np.uint16) * 16, bits=12)
    return encoded(grey, "JPEG") if kind == 1 else encoded(grey)


@dataclass(frozen=True)
class Attempt:
    """One request: when, of which content, and how it was answered; status None: not at all."""

    content: int
    started: float
    ended: float
    status: int | None
    body: bytes

    @property
    def kept(self) -> bool:
        """Whether the gateway said that it has the radiograph."""
        return self.status in (200, 201)


@dataclass
class Ledger:
    """Every attempt and every radiograph's bytes."""

    attempts: list[Attempt] = field(default_factory=list)
    radiographs: dict[int, bytes] = field(default_factory=dict)
    sha256: dict[int, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, attempt: Attempt, radiograph: bytes) -> None:
        """Add an attempt."""
        with self.lock:
            self.attempts.append(attempt)
            self.radiographs[attempt.content] = radiograph
            self.sha256[attempt.content] = sha256(radiograph).hexdigest()

    def kept(self) -> list[Attempt]:
        """The attempts that were answered 2xx."""
        with self.lock:
            return [attempt for attempt in self.attempts if attempt.kept]

    def counts(self) -> dict[str, int]:
        """Requests, by how they ended."""
        statuses = [attempt.status for attempt in self.attempts]
        kept = sum(attempt.kept for attempt in self.attempts)
        broken = statuses.count(None)
        refused = len(statuses) - kept - broken
        return {"requests": len(statuses), "answered_2xx": kept, "refused": refused} | {
            "unanswered": broken
        }

    def recovered_after_s(self, fault_ended: float) -> float:
        """How long after `fault_ended` the first request that was sent since was answered 2xx."""
        since = [a.ended for a in self.kept() if a.started >= fault_ended]
        assert since, "nothing was answered 2xx after the fault"
        return min(since) - fault_ended


@dataclass
class Uploaders:
    """The clients at work."""

    base_url: str
    ledger: Ledger = field(default_factory=Ledger)
    side_px: int = 120
    patience_s: float = 180.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        """One client: file after file, each until it is kept, until all are told to stop."""
        with httpx.Client(base_url=self.base_url, timeout=30, trust_env=False) as http:
            while not self._stopped.is_set():
                self._until_kept(http, next(self._numbers))
                self._stopped.wait(_PAUSE_S)

    def wait_for(self, kept: int) -> None:
        """Return when `kept` more requests have been answered 2xx."""
        target = len(self.ledger.kept()) + kept
        eventually(lambda: len(self.ledger.kept()) >= target, "the uploads stand still", 180)

    def stop(self) -> None:
        """No new radiographs; those begun are still sent until they are kept."""
        self._stopped.set()

    def _until_kept(self, http: httpx.Client, number: int) -> None:
        radiograph = radiograph_of(number, self.side_px)
        gives_up = time.monotonic() + self.patience_s
        while True:
            attempt = _sent(http, content_number(number), radiograph)
            self.ledger.note(attempt, radiograph)
            if attempt.kept:
                return
            assert time.monotonic() < gives_up, f"radiograph {number} is never kept: {attempt}"
            time.sleep(_PAUSE_S)


def _sent(http: httpx.Client, content: int, radiograph: bytes) -> Attempt:
    started = time.monotonic()
    request: dict[str, Any] = {
        "files": {"file": ("radiograph", radiograph)},
        "headers": {"Idempotency-Key": f"radiograph-{content}"},
    }
    try:
        response = http.post(STUDIES, **request)
    except httpx.TransportError:
        return Attempt(content, started, time.monotonic(), None, b"")
    return Attempt(content, started, time.monotonic(), response.status_code, response.content)


@contextmanager
def uploading(base_url: httpx.URL | str, clients: int = 3, **more: Any) -> Iterator[Uploaders]:
    """Clients that upload until the end of the block, where each ends with its radiograph kept."""
    uploaders = Uploaders(str(base_url), **more)
    with ThreadPoolExecutor(clients, thread_name_prefix="client") as threads:
        running = [threads.submit(uploaders.client) for _ in range(clients)]
        try:
            yield uploaders
        finally:
            uploaders.stop()
        for client in running:
            client.result()
