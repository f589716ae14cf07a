"""A run: list, leave out what is done, read the rest on Ray Data, commit as it comes."""

import itertools
import logging
import os
import queue
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from cxr_screening.coordinator import Coordinator, Politeness
from cxr_screening.engine import Engine, EngineConfig, EngineIdentity, available_cores
from cxr_screening.errors import ScreeningError
from cxr_screening.output import Output
from cxr_screening.private import PrivateFolder
from cxr_screening.progress import Progress
from cxr_screening.reader import Analyser, Reader, ReaderSettings
from cxr_screening.rows import RowWriter, image_id
from cxr_screening.sources import Item, Listing, list_source, pack

# Of a batch: large enough that Ray's own work is nothing beside it, small enough that a killed
# worker loses seconds.
_BATCH = 32
# Of one execution of Ray Data: bounds what its driver remembers.
_WINDOW_BATCHES = 4_000
_WINDOW_WAIT_S = 60.0
# For the workers of a cluster that has just been made.
_JOINING_S = 300.0
# Of a Ray of our own, before a start is given up.
_STARTS = 3
_OBJECT_STORE_BYTES = 1_000_000_000
# Listed images are handed on so many at a time, or as many as come in so long.
_CHUNK, _CHUNK_S = 10_000, 2.0
_BATCHES_EACH = 4


@dataclass(frozen=True)
class RunOptions:
    """How a run works; the defaults are for one machine and its own folder."""

    source: str
    query: str = ""
    limit: int | None = None
    address: str | None = None
    workers: int | None = None
    gpus: float = 0.0
    batch: int = _BATCH
    flush_rows: int = 20_000
    flush_s: float = 30.0
    fetch_threads: int = 2
    object_store_bytes: int = _OBJECT_STORE_BYTES
    dashboard: bool = False
    politeness: Politeness = field(default_factory=Politeness)


@dataclass
class RunResult:
    """What a run came to."""

    run: str
    n_listed: int = 0
    n_already: int = 0
    n_skipped: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    n_missing: int = 0

    @property
    def n_written(self) -> int:
        """Rows that this run added."""
        return sum(self.counts.values())


def run(
    options: RunOptions,
    output: Output,
    private: PrivateFolder,
    *,
    rows: RowWriter,
    engine: EngineIdentity,
    config: EngineConfig,
    progress: Progress,
    load: Callable[[], Analyser] | None = None,
) -> RunResult:
    """Read what has no row yet.

    Args:
        options: how.
        output: begun, and held by this process.
        private: where it is noted what lies where.
        rows: makes the rows.
        engine: whose rows are looked for, and written.
        config: what the engine is made of.
        progress: is told of every batch.
        load: makes another engine than that of `config`, in each worker.

    Raises:
        ScreeningError: the source is empty or does not answer, or the output cannot be written.
    """
    result = RunResult(_run_name())
    started = time.monotonic()
    lister = _Lister(options, rows.key, output.done_ids(engine.short), result, private)
    lister.start()
    lister.wait_for_first()
    committer = _Committer(
        output,
        engine.short,
        schema=rows.schema,
        lister=lister,
        progress=progress,
        options=options,
        result=result,
    )
    if not lister.n_remaining:  # nothing is left, so nobody has to wait for Ray
        committer.flush("done")
        result.seconds = time.monotonic() - started
        return result
    with _cluster(options) as workers:
        coordinator: Any = (
            ray.remote(Coordinator)
            .options(num_cpus=0, max_concurrency=1000)
            .remote(options.politeness)
        )
        settings = ReaderSettings(
            load=load or partial(Engine, config),
            rows=rows,
            max_bytes=config.max_bytes,
            fetch_threads=options.fetch_threads,
            takes_turns=not options.politeness.asks_nothing,
        )
        ended = "failed"
        try:
            for window in lister.windows():
                dataset = ray.data.from_items(window, override_num_blocks=len(window)).map_batches(
                    Reader,
                    batch_size=None,
                    batch_format="pyarrow",
                    zero_copy_batch=True,
                    fn_constructor_args=(settings, coordinator),
                    compute=ActorPoolStrategy(size=min(workers, len(window))),
                    num_cpus=1,
                    num_gpus=options.gpus or None,
                )
                for table in dataset.iter_batches(
                    batch_size=None, batch_format="pyarrow", prefetch_batches=0
                ):
                    committer.add(table)
            result.n_missing = lister.n_remaining
            ended = "incomplete" if result.n_missing else "done"
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        finally:
            # Also what a person or a fault ends: rows that are there are kept.
            committer.flush(ended)
            result.seconds = time.monotonic() - started
    return result


class _Lister(threading.Thread):
    """Lists beside the work, so that a slow server holds up nothing but its own images."""

    def __init__(
        self,
        options: RunOptions,
        key: bytes,
        done: "np.ndarray[Any, np.dtype[np.uint64]]",
        result: RunResult,
        private: PrivateFolder,
    ) -> None:
        super().__init__(name="list", daemon=True)
        self._options, self._key, self._done = options, key, done
        self._result, self._private = result, private
        self._batches: queue.Queue[str | None] = queue.Queue()
        self._first = threading.Event()
        self._error: BaseException | None = None
        # Every image that was listed for reading, and whether its row has come.
        self._has_row: dict[int, bool] = {}
        self._n_rows = 0
        self._n_chunks = 0
        self._ended = False

    def run(self) -> None:
        """The thread's work; use `start`."""
        try:
            self._list()
        except BaseException as error:  # raised where the batches are taken
            self._error = error
        finally:
            self._ended = True
            self._first.set()
            self._batches.put(None)

    def wait_for_first(self) -> None:
        """Return when there is something to do, or nothing; ScreeningError of an empty source."""
        self._first.wait()
        if self._error is not None and not self._has_row:
            raise self._error
        if self._ended and not self._result.n_listed:
            raise ScreeningError(f"There is no radiograph in {self._options.source}.")

    def windows(self) -> Iterator[list[dict[str, Any]]]:
        """Numbered batches, so many at a time as one execution takes."""
        number = itertools.count()
        ended = False
        while not ended:
            window: list[dict[str, Any]] = []
            since = time.monotonic()
            while len(window) < _WINDOW_BATCHES:
                try:
                    packed = self._batches.get(timeout=1.0)
                except queue.Empty:
                    if window and time.monotonic() - since > _WINDOW_WAIT_S:
                        break
                    continue
                if packed is None:
                    ended = True
                    break
                window.append({"batch": next(number), "items": packed})
            if window:
                yield window
        if self._error is not None:
            raise self._error

    @property
    def total(self) -> int | None:
        """How many this run has to read; None as long as it is being listed."""
        return self._result.n_listed - self._result.n_already if self._ended else None

    @property
    def n_remaining(self) -> int:
        """Listed, and without a row so far."""
        return len(self._has_row) - self._n_rows

    def settle(self, image: int) -> bool:
        """Whether a row of this image was waited for; from now on it is not."""
        if self._has_row.get(image, True):
            return False
        self._has_row[image] = True
        self._n_rows += 1
        return True

    def _list(self) -> None:
        options, result = self._options, self._result
        listing = Listing()
        chunk: dict[int, Item] = {}
        since = time.monotonic()
        found = list_source(options.source, listing, query=options.query)
        for item in itertools.islice(found, options.limit):
            known = image_id(self._key, item.locator)
            if known in self._has_row or known in chunk:
                continue  # named twice
            result.n_listed += 1
            result.n_skipped = listing.skipped
            if self._is_done(known):
                result.n_already += 1
                continue
            chunk[known] = item
            if len(chunk) >= _CHUNK or time.monotonic() - since > _CHUNK_S:
                self._hand_over(chunk)
                chunk, since = {}, time.monotonic()
        result.n_skipped = listing.skipped
        if chunk:
            self._hand_over(chunk)

    def _hand_over(self, chunk: dict[int, Item]) -> None:
        """Let images be read, once it is noted where they lie."""
        self._private.note_places(self._result.run, self._n_chunks, chunk)
        self._n_chunks += 1
        self._has_row |= dict.fromkeys(chunk, False)
        items = list(chunk.values())
        # A few images are spread over the workers, too.
        workers = self._options.workers or available_cores()
        size = max(1, min(self._options.batch, len(items) // (_BATCHES_EACH * workers)))
        for start in range(0, len(items), size):
            self._batches.put(pack(items[start : start + size]))
        self._first.set()

    def _is_done(self, image: int) -> bool:
        place = int(np.searchsorted(self._done, np.uint64(image)))
        return place < len(self._done) and int(self._done[place]) == image


class _Committer:
    """Gathers rows and writes them, so that files are neither many nor late."""

    def __init__(
        self,
        output: Output,
        engine: str,
        *,
        schema: pa.Schema,
        lister: _Lister,
        progress: Progress,
        options: RunOptions,
        result: RunResult,
    ) -> None:
        self._output, self._engine, self._lister = output, engine, lister
        self._schema = schema
        self._progress, self._options, self._result = progress, options, result
        self._tables: list[pa.Table] = []
        self._count = 0
        self._since = time.monotonic()
        self._number = 0

    def add(self, table: pa.Table) -> None:
        """Rows that were read; a row that nobody waits for is dropped."""
        wanted = [self._lister.settle(image) for image in table["id"].to_pylist()]
        table = table.filter(pa.array(wanted, pa.bool_()))
        self._tables.append(table)
        self._count += len(table)
        for status in table["status"].to_pylist():
            self._result.counts[status] = self._result.counts.get(status, 0) + 1
        options = self._options
        if self._count >= options.flush_rows or time.monotonic() - self._since >= options.flush_s:
            self.flush()
        self._progress.update(self._result, self._lister.total)

    def flush(self, ended: str | None = None) -> None:
        """Write what is there, and how far the run is; `ended` says how, once it has."""
        if self._count:
            rows = pa.concat_tables(self._tables).cast(self._schema)
            self._output.commit(self._engine, self._result.run, self._number, rows)
            self._number += 1
        self._tables, self._count, self._since = [], 0, time.monotonic()
        self._output.put_progress(self._progress.facts(self._result, self._lister.total, ended))


@contextmanager
def _cluster(options: RunOptions) -> Iterator[int]:
    """Ray, started here or joined; how many workers to use."""
    # Nothing about a hospital's machines goes anywhere.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    mine = not ray.is_initialized()
    if mine:
        local: dict[str, Any] = {}
        if options.address is None:
            local = {
                "num_cpus": options.workers or available_cores(),
                "include_dashboard": options.dashboard,
                "object_store_memory": options.object_store_bytes,
            }
        _start_ray(options.address, local)
    try:
        cores = _wait_for_cores(0 if options.address is None else _JOINING_S)
        yield min(options.workers or cores, cores)
    except RayError as error:
        said = (str(error).splitlines() or ["it ended"])[0].rstrip(".")
        raise ClusterError(
            f"The cluster failed ({said}); what was read is kept, so run the same command again."
        ) from error
    finally:
        if mine:
            ray.shutdown()


def _start_ray(address: str | None, local: dict[str, Any]) -> None:
    # Ray gives its own processes half a minute, which a busy machine can need.
    for attempts_left in reversed(range(_STARTS if address is None else 1)):
        try:
            # Without an address, one that others started here would be taken.
            ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **local)
            return
        except Exception as error:  # that a start took too long is a bare one
            ray.shutdown()
            if not attempts_left:
                said = (str(error).splitlines() or ["it does not answer"])[0].rstrip(".")
                raise ScreeningError(f"Ray cannot be started: {said}.") from error


def _resources() -> dict[str, float]:
    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def _wait_for_cores(patience_s: float) -> int:
    """How many the cluster has; its workers may join after the driver has started."""
    deadline = time.monotonic() + patience_s
    while not (cores := int(_resources().get("CPU", 0))):
        if time.monotonic() > deadline:
            raise ScreeningError("The cluster has no core to work with.")
        time.sleep(1.0)
    return cores


class ClusterError(Exception):
    """The work ended before its end, for a reason that lies in the machines."""


@contextmanager
def stopping_softly() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: what was read is written first."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_name() -> str:
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
