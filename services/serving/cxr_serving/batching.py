"""Dynamic micro-batching in front of a model, with a queue that has an end.

One model, one thread: the model object is never shared between threads. While a batch runs, what
arrives waits and becomes the next batch. A lone request on an idle model starts at once; only
where a second one is already waiting is the batch given `max_wait_ms` to fill.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from cxr_serving import tracing
from cxr_serving.errors import Overloaded, Unavailable
from cxr_serving.metrics import BatchMetrics

Item = TypeVar("Item")
Result = TypeVar("Result")
Value = TypeVar("Value")
_log = logging.getLogger("cxr.batching")
# How much the latest batch counts in the running estimate of a batch's duration.
_SMOOTHING = 0.2


@dataclass
class _Run:
    """A run of the model: images, begin and end by `time.perf_counter`; None while it runs."""

    size: int
    started: float
    ended: float | None = None


@dataclass
class _Waiting(Generic[Item, Result]):
    item: Item
    result: asyncio.Future[Result]
    arrived: float
    run: _Run | None = None


class MicroBatcher(Generic[Item, Result]):
    """Collects items of concurrent callers and runs them through one function in one thread.

    Args:
        run_batch: From items to as many results, in the same order; runs in the model's thread.
        max_batch_size: Items in one run; may be set anew at any time.
        max_wait_ms: How long a batch of at least two waits for more.
        max_queue_length: Items that may wait; the next one is refused.
        name: Of the thread, and in errors.
        metrics: Where queue, batch sizes and refusals are counted.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        max_batch_size: int,
        max_wait_ms: float,
        max_queue_length: int,
        name: str,
        metrics: BatchMetrics | None = None,
    ) -> None:
        self._run_batch = run_batch
        self.max_batch_size = max_batch_size
        self._max_wait_s = max_wait_ms / 1000
        self._max_queue_length = max_queue_length
        self._name = name
        self._metrics = metrics
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._arrived = asyncio.Event()
        self._filled = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-model")
        self._task: asyncio.Task[None] | None = None
        self._batch_s = 0.0

    async def start(self) -> None:
        """Begin to take items; call once, in the loop that submits them."""
        self._task = asyncio.create_task(self._serve(), name=f"{self._name}-batcher")

    async def call(self, function: Callable[[], Value]) -> Value:
        """Run `function` in the model's thread: loading and warming belong there, too."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    @property
    def retry_after_s(self) -> int:
        """When those who wait now will have been answered, by the latest batches' durations."""
        batches = math.ceil((len(self._queue) + 1) / self.max_batch_size)
        return max(1, math.ceil(batches * self._batch_s))

    async def submit(self, item: Item) -> Result:
        """The result of `item`, once its batch has run.

        Raises:
            Overloaded: The queue is full.
            Unavailable: The batcher is not running, or is closed while the item waits.
            Exception: Whatever `run_batch` raised for this item's batch.
        """
        if self._task is None or self._task.done():
            raise Unavailable(f"The {self._name} is not running.")
        self._drop_cancelled()
        if len(self._queue) >= self._max_queue_length:
            raise self._refusal()
        waiting: _Waiting[Item, Result] = _Waiting(
            item, asyncio.get_running_loop().create_future(), time.perf_counter()
        )
        self._queue.append(waiting)
        self._note_queue()
        self._arrived.set()
        if len(self._queue) >= self.max_batch_size:
            self._filled.set()
        try:
            return await waiting.result
        finally:
            _trace(waiting)

    async def close(self) -> None:
        """Let the running batch finish, answer those that wait with Unavailable, end the thread."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for waiting in self._queue:
            if not waiting.result.done():
                waiting.result.set_exception(Unavailable(f"The {self._name} is shutting down."))
        self._queue.clear()
        self._note_queue()
        await asyncio.to_thread(self._thread.shutdown)

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            if 1 < len(self._queue) < self.max_batch_size and self._max_wait_s > 0:
                self._filled.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._filled.wait(), self._max_wait_s)
            batch = self._take()
            if batch:
                await self._run(batch)

    def _take(self) -> list[_Waiting[Item, Result]]:
        """The next batch, without those whose callers have gone."""
        self._drop_cancelled()
        size = min(len(self._queue), self.max_batch_size)
        batch = [self._queue.popleft() for _ in range(size)]
        if not self._queue:
            self._arrived.clear()
        self._note_queue()
        return batch

    async def _run(self, batch: list[_Waiting[Item, Result]]) -> None:
        run = _Run(len(batch), time.perf_counter())
        self._note_start(batch, run)
        running = asyncio.get_running_loop().run_in_executor(
            self._thread, self._run_checked, [waiting.item for waiting in batch]
        )
        try:
            # Shielded: closing must not lose the results of a batch that is already running.
            results = await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            run.ended = time.perf_counter()
            self._deliver(batch, running)
            raise
        except Exception:
            _log.exception("a batch failed", extra={"batch_size": len(batch)})
        else:
            del results
        run.ended = time.perf_counter()
        self._note_batch(len(batch), run.ended - run.started)
        self._deliver(batch, running)

    def _run_checked(self, items: list[Item]) -> Sequence[Result]:
        results = self._run_batch(items)
        if len(results) != len(items):
            raise RuntimeError(f"{len(items)} items went in and {len(results)} results came out")
        return results

    @staticmethod
    def _deliver(
        batch: list[_Waiting[Item, Result]], running: asyncio.Future[Sequence[Result]]
    ) -> None:
        error = running.exception()
        for place, waiting in enumerate(batch):
            if waiting.result.done():  # its caller has gone
                continue
            if error is None:
                waiting.result.set_result(running.result()[place])
            else:
                waiting.result.set_exception(error)

    def _drop_cancelled(self) -> None:
        if any(waiting.result.done() for waiting in self._queue):
            alive = [waiting for waiting in self._queue if not waiting.result.done()]
            self._queue.clear()
            self._queue.extend(alive)

    def _refusal(self) -> Overloaded:
        if self._metrics is not None:
            self._metrics.refused.inc()
        return Overloaded(
            f"The {self._name} has as many images waiting as it accepts: {self._max_queue_length}.",
            retry_after_s=self.retry_after_s,
        )

    def _note_queue(self) -> None:
        if self._metrics is not None:
            self._metrics.queue_length.set(len(self._queue))

    def _note_start(self, batch: list[_Waiting[Item, Result]], run: _Run) -> None:
        for waiting in batch:
            waiting.run = run
            if self._metrics is not None:
                self._metrics.wait_s.observe(run.started - waiting.arrived)

    def _note_batch(self, size: int, seconds: float) -> None:
        self._batch_s += (seconds - self._batch_s) * (_SMOOTHING if self._batch_s else 1.0)
        if self._metrics is not None:
            self._metrics.batch_size.observe(size)
            self._metrics.run_s.observe(seconds)


def _trace(waiting: _Waiting[Item, Result]) -> None:
    """Put wait and run into the trace of the caller: the run belongs to all of its batch."""
    run = waiting.run
    if run is None or run.ended is None:
        return
    tracing.record("queue", waiting.arrived, run.started)
    tracing.record("run", run.started, run.ended, batch_size=run.size)
