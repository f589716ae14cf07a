"""The micro-batcher: bounded, in order, quick when alone, and unharmed by what happens in it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from cxr_serving.batching import MicroBatcher
from cxr_serving.errors import Overloaded, Unavailable
from cxr_serving.metrics import BatchMetrics


class Doubler:
    """A model that doubles; it can be held in the middle of a run."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.hold = threading.Event()
        self.hold.set()
        self.running = threading.Event()

    def run(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.threads.add(threading.current_thread().name)
        self.running.set()
        assert self.hold.wait(5)
        if 13 in batch:
            raise ValueError("thirteen")
        return [2 * item for item in batch]


@contextlib.asynccontextmanager
async def batcher_of(
    run: Callable[[Sequence[int]], Sequence[int]],
    *,
    max_batch_size: int = 4,
    max_wait_ms: float = 0.0,
    max_queue_length: int = 8,
    metrics: BatchMetrics | None = None,
) -> AsyncIterator[MicroBatcher[int, int]]:
    batcher: MicroBatcher[int, int] = MicroBatcher(
        run,
        max_batch_size=max_batch_size,
        max_wait_ms=max_wait_ms,
        max_queue_length=max_queue_length,
        name="doubler",
        metrics=metrics,
    )
    await batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


async def held(
    model: Doubler, batcher: MicroBatcher[int, int], item: int = 0
) -> "asyncio.Task[int]":
    """Submit `item` and come back once the model is in the middle of running it."""
    model.hold.clear()
    first = asyncio.create_task(batcher.submit(item))
    assert await asyncio.to_thread(model.running.wait, 5)
    return first


async def queued(
    batcher: MicroBatcher[int, int], items: Sequence[int]
) -> "list[asyncio.Task[int]]":
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_every_caller_gets_the_result_of_its_own_item() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_queue_length=100) as batcher:
        results = await asyncio.gather(*(batcher.submit(item) for item in range(14, 64)))
    assert results == [2 * item for item in range(14, 64)]
    assert [item for batch in model.batches for item in batch] == list(range(14, 64))


async def test_what_arrives_during_a_run_becomes_the_next_batch() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_batch_size=3) as batcher:
        first = await held(model, batcher)
        others = await queued(batcher, [1, 2, 3, 4])
        model.hold.set()
        assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8]
    assert model.batches == [[0], [1, 2, 3], [4]]


async def test_the_model_is_run_in_one_thread_only() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_queue_length=50) as batcher:
        await batcher.call(lambda: model.run([1]))
        await asyncio.gather(*(batcher.submit(item) for item in range(14, 40)))
    assert len(model.threads) == 1


async def test_a_lone_item_does_not_wait_for_company() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_wait_ms=5000) as batcher:
        started = time.perf_counter()
        assert await batcher.submit(21) == 42
        assert time.perf_counter() - started < 2


async def test_two_items_wait_for_more_until_the_batch_is_full() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_batch_size=3, max_wait_ms=5000) as batcher:
        first = await held(model, batcher)
        early = await queued(batcher, [1, 2])
        model.hold.set()
        await first
        late = await queued(batcher, [3])
        assert await asyncio.gather(*early, *late) == [2, 4, 6]
    assert model.batches == [[0], [1, 2, 3]]


async def test_the_wait_for_more_ends() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_batch_size=3, max_wait_ms=20) as batcher:
        first = await held(model, batcher)
        others = await queued(batcher, [1, 2])
        model.hold.set()
        assert await asyncio.wait_for(asyncio.gather(first, *others), 5) == [0, 2, 4]
    assert model.batches == [[0], [1, 2]]


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    model = Doubler()
    registry = CollectorRegistry()
    metrics = BatchMetrics(registry, 4, 8)
    async with batcher_of(model.run, max_queue_length=2, metrics=metrics) as batcher:
        first = await held(model, batcher)
        waiting = await queued(batcher, [1, 2])
        with pytest.raises(Overloaded) as refusal:
            await batcher.submit(3)
        assert int(refusal.value.headers["Retry-After"]) >= 1
        model.hold.set()
        assert await asyncio.gather(first, *waiting) == [0, 2, 4]
        assert await batcher.submit(3) == 6
    assert registry.get_sample_value("cxr_batch_refused_total") == 1


async def test_a_caller_that_goes_away_frees_its_place_and_harms_nobody() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_queue_length=2) as batcher:
        first = await held(model, batcher)
        gone, stays = await queued(batcher, [1, 2])
        gone.cancel()
        await asyncio.wait([gone])
        newcomer = (await queued(batcher, [3]))[0]
        model.hold.set()
        assert [await task for task in (first, stays, newcomer)] == [0, 4, 6]
    assert model.batches == [[0], [2, 3]]


async def test_a_caller_that_goes_away_during_the_run_harms_nobody() -> None:
    model = Doubler()
    async with batcher_of(model.run) as batcher:
        first = await held(model, batcher)
        first.cancel()
        await asyncio.wait([first])
        other = (await queued(batcher, [5]))[0]
        model.hold.set()
        assert await other == 10


async def test_an_error_reaches_its_own_batch_and_no_other() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_batch_size=2) as batcher:
        first = await held(model, batcher)
        waiting = await queued(batcher, [12, 13, 14])
        model.hold.set()
        results = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [result for result in results if isinstance(result, int)] == [0, 28]
    assert [str(result) for result in results[1:3]] == ["thirteen", "thirteen"]


async def test_a_model_that_loses_a_result_is_found_out() -> None:
    async with batcher_of(lambda batch: list(batch)[1:]) as batcher:
        with pytest.raises(RuntimeError, match="1 items went in and 0 results"):
            await batcher.submit(1)


async def test_closing_answers_the_running_batch_and_turns_the_waiting_away() -> None:
    model = Doubler()
    async with batcher_of(model.run, max_batch_size=1) as batcher:
        first = await held(model, batcher)
        waiting = (await queued(batcher, [1]))[0]
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        model.hold.set()
        await closing
        assert await first == 0
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await batcher.submit(2)


async def test_batches_are_counted() -> None:
    model = Doubler()
    registry = CollectorRegistry()
    async with batcher_of(model.run, metrics=BatchMetrics(registry, 4, 8)) as batcher:
        await asyncio.gather(*(batcher.submit(item) for item in range(4)))
    assert registry.get_sample_value("cxr_batch_size_sum") == 4
    assert registry.get_sample_value("cxr_batch_wait_seconds_count") == 4
    assert registry.get_sample_value("cxr_batch_queue_limit") == 8
    assert registry.get_sample_value("cxr_batch_queue_length") == 0
