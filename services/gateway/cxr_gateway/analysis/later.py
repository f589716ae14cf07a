"""The studies whose clients do not wait: analysed beside the others, over any restart.

They have fewer places than `max_concurrent_analyses`, so that whoever waits is served first.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.archive import Archive
from cxr_gateway.archive.pending import count_pending, postpone_pending, take_pending
from cxr_gateway.core.background import guarded, in_background, repeat
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import Overloaded

_POLL_S = 0.25
# Longer than any analysis takes, its wait for a place included.
_LEASE = timedelta(minutes=5)
# Neither service answered so often: about six minutes after the first time it is kept as failed.
_ATTEMPTS = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 120.0


class LaterAnalyses:
    """Takes studies that are pending, in this gateway; others on the same database take theirs."""

    def __init__(
        self, archive: Archive, pipeline: AnalysisPipeline, settings: GatewaySettings
    ) -> None:
        self._archive = archive
        self._pipeline = pipeline
        self._places = max(1, settings.max_concurrent_analyses // 2)
        self._most = settings.max_pending_studies
        self._tasks: set[asyncio.Task[bool]] = set()

    async def check_room(self) -> None:
        """Raise Overloaded if as many studies wait as may."""
        if await self._archive.query(count_pending) >= self._most:
            raise Overloaded(f"{self._most} studies wait to be analysed, as many as may.")

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Analyse until the end of the block; what is being analysed then is ended."""
        failure = "it was not looked for pending studies"
        async with in_background(partial(repeat, self._round, _POLL_S, failure)):
            yield
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _round(self) -> None:
        room = self._places - len(self._tasks)
        if room <= 0:
            return
        take = partial(take_pending, most=room, lease=_LEASE)
        for study_id, attempts in await self._archive.query(take):
            work = partial(self._analyse, study_id, attempts)
            task = asyncio.create_task(guarded(work, "a pending study was not analysed"))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _analyse(self, study_id: str, attempts: int) -> None:
        wait_s = min(_FIRST_WAIT_S * 2.0 ** (attempts - 1), _LONGEST_WAIT_S)
        postpone = partial(postpone_pending, study_id=study_id, wait_s=wait_s)
        try:
            done = await self._pipeline.complete(study_id, is_last=attempts >= _ATTEMPTS)
        except Exception:
            await self._archive.query(postpone)
            raise
        if not done:
            await self._archive.query(postpone)
