"""The worker: a batch of places in, a row for each of them out, whatever they hold."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import ray
from ray.util import metrics

from cxr_screening.engine import Analysis
from cxr_screening.rows import RowWriter, image_id
from cxr_screening.sources import Fetcher, FetchError, Item, unpack
from cxr_serving.errors import PROBLEM_PREFIX, ServiceError

_SECONDS = [0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]


class Analyser(Protocol):
    """What reads one file: `cxr_screening.engine.Engine` in production."""

    def analyse(self, content: bytes) -> Analysis:
        """The analysis; ServiceError for what is refused."""
        ...


@dataclass(frozen=True)
class ReaderSettings:
    """What a worker needs.

    Attributes:
        load: makes its engine, in the worker.
        rows: makes the rows.
        max_bytes: of one file.
        fetch_threads: files that are fetched while one is read.
        takes_turns: whether each fetch waits for a turn.
    """

    load: Callable[[], Analyser]
    rows: RowWriter
    max_bytes: int
    fetch_threads: int
    takes_turns: bool


@dataclass(frozen=True)
class _Fetched:
    content: bytes | None
    error: FetchError | None
    ms: float


class Reader:
    """An actor of the pool; holds the networks."""

    def __init__(self, settings: ReaderSettings, coordinator: Any) -> None:
        self._settings = settings
        self._coordinator = coordinator
        self._engine = settings.load()
        self._fetcher = Fetcher(settings.max_bytes)
        self._threads = ThreadPoolExecutor(settings.fetch_threads, "fetch")
        self._images = metrics.Counter(
            "cxr_screening_images", "Images that got a row.", tag_keys=("status",)
        )
        self._bytes = metrics.Counter("cxr_screening_bytes", "Bytes that were fetched.")
        self._seconds = metrics.Histogram(
            "cxr_screening_image_seconds", "From fetched to analysed.", boundaries=_SECONDS
        )

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows of the images of some batches."""
        rows = []
        for number, packed in zip(
            table["batch"].to_pylist(), table["items"].to_pylist(), strict=True
        ):
            items = unpack(packed)
            again = ray.get(self._coordinator.begin.remote(number)) > 0
            rows += self._carefully(number, items) if again else self._all(items)
            ray.get(self._coordinator.end.remote(number))
        return self._settings.rows.to_table(rows)

    def _all(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        return [self._row(item, fetched) for item, fetched in self._fetched(items)]

    def _carefully(self, number: int, items: Sequence[Item]) -> list[dict[str, Any]]:
        """One by one: a worker has died on this batch before."""
        rows = []
        for item in items:
            known = image_id(self._settings.rows.key, item.locator)
            if ray.get(self._coordinator.enter.remote(number, known)):
                sentence = "The process that read it died, twice."
                rows.append(self._failed(item, "fatal", sentence, None, 0.0))
            else:
                rows.append(self._row(item, self._fetch(item)))
        return rows

    def _fetched(self, items: Sequence[Item]) -> Iterator[tuple[Item, _Fetched]]:
        """In order; some are being fetched while one is read."""
        ahead: deque[tuple[Item, Future[_Fetched]]] = deque()
        for item in items:
            ahead.append((item, self._threads.submit(self._fetch, item)))
            if len(ahead) > self._settings.fetch_threads:
                first, future = ahead.popleft()
                yield first, future.result()
        for item, future in ahead:
            yield item, future.result()

    def _fetch(self, item: Item) -> _Fetched:
        turn = None
        if self._settings.takes_turns:
            turn = ray.get(self._coordinator.take_turn.remote())
        started, content, failure = time.perf_counter(), None, None
        try:
            content = self._fetcher.fetch(item)
        except FetchError as error:
            failure = error
        except Exception as error:  # a source's own fault must not end the work
            failure = FetchError("source", f"Fetching failed: {type(error).__name__}.")
        finally:
            if turn is not None:
                self._coordinator.hand_back.remote(turn, len(content or b""))
        return _Fetched(content, failure, (time.perf_counter() - started) * 1000)

    def _row(self, item: Item, fetched: _Fetched) -> dict[str, Any]:
        if fetched.content is None:
            error = fetched.error or FetchError("source", "Nothing came.")
            return self._failed(item, error.kind, str(error), None, fetched.ms)
        self._bytes.inc(len(fetched.content) or 1)
        started = time.perf_counter()
        size = len(fetched.content)
        try:
            analysis = self._engine.analyse(fetched.content)
        except ServiceError as error:
            kind = error.type.removeprefix(PROBLEM_PREFIX)
            return self._failed(item, kind, error.detail, size, fetched.ms)
        except MemoryError:
            return self._failed(item, "memory", "It needs more memory.", size, fetched.ms)
        except Exception as error:  # a bad file is a row, never an end
            sentence = f"Reading it failed: {type(error).__name__}."
            return self._failed(item, "internal", sentence, size, fetched.ms)
        seconds = time.perf_counter() - started
        self._seconds.observe(seconds)
        row = self._settings.rows.analysed(
            item.locator,
            fetched.content,
            analysis,
            fetch_ms=fetched.ms,
            total_ms=seconds * 1000,
        )
        self._images.inc(1, {"status": row["status"]})
        return row

    def _failed(
        self, item: Item, kind: str, sentence: str, n_bytes: int | None, ms: float
    ) -> dict[str, Any]:
        self._images.inc(1, {"status": "failed"})
        return self._settings.rows.failed(item.locator, kind, sentence, n_bytes=n_bytes, ms=ms)
