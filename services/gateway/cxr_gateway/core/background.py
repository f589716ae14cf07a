"""Work beside the requests: started, repeated and ended in one way.

A worker runs for as long as a block does. What fails in one round is logged and ends nothing: the
gateway does not depend on any of this work.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_LOG = logging.getLogger(__name__)
Work = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def in_background(work: Work) -> AsyncIterator[None]:
    """Run `work` beside the block; cancelled at its end, and waited for."""
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def repeat(
    work: Callable[[], Awaitable[object]], interval_s: float, failure: str, *, at_once: bool = True
) -> None:
    """Do `work` every `interval_s`, for ever.

    Args:
        work: one round.
        interval_s: from the end of one round to the next.
        failure: the log's sentence for a round that fails.
        at_once: whether the first round comes before the first wait.
    """
    if not at_once:
        await asyncio.sleep(interval_s)
    while True:
        await guarded(work, failure)
        await asyncio.sleep(interval_s)


async def guarded(work: Callable[[], Awaitable[object]], failure: str) -> bool:
    """Do `work`; whether it succeeded. A failure is logged as `failure`, with its traceback."""
    try:
        await work()
    except Exception:
        _LOG.warning(failure, exc_info=True)
        return False
    return True


async def idle_for(idle: asyncio.Event, seconds: float) -> None:
    """Return when nobody is served, and nobody was for about `seconds`."""
    while True:
        await idle.wait()
        await asyncio.sleep(seconds)
        if idle.is_set():
            return
