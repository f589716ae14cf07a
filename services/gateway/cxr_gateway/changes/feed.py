"""The feed of changes of a running gateway.

One look at the database every so often serves all who wait, so what another gateway did on the
same database is seen, too, whichever database it is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from cxr_gateway.archive import Archive
from cxr_gateway.archive.changes import Position, changes_after, position
from cxr_gateway.changes.schemas import Change, ChangePage
from cxr_gateway.core.background import in_background, repeat


class ChangeFeed:
    """Reads changes, and waits for new ones.

    Args:
        archive: whose.
        poll_s: how often the database is asked while somebody waits.
    """

    def __init__(self, archive: Archive, poll_s: float) -> None:
        self._archive = archive
        self._poll_s = poll_s
        self._seen: Position | None = None
        self._news = asyncio.Condition()
        self._waiting = 0

    async def now(self) -> Position:
        """Where the feed is."""
        return await self._archive.query(position)

    async def page(self, after: Position | None, limit: int, department: str | None) -> ChangePage:
        """Up to `limit` changes of a department's studies (None: of all); `CursorGone`."""
        read = partial(changes_after, after=after, limit=limit, department=department)
        found, reached, more = await self._archive.query(read)
        return ChangePage(
            items=[Change.of(record, reached.feed) for record in found],
            next_cursor=str(reached),
            has_more=more,
        )

    async def wait(self, after: Position) -> None:
        """Return once there is something after this place."""
        self._waiting += 1
        try:
            async with self._news:
                await self._news.wait_for(lambda: self._is_beyond(after))
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look for changes until the end of the block."""
        failure = "the feed of changes was not looked at"
        async with in_background(partial(repeat, self._look, self._poll_s, failure)):
            yield

    def _is_beyond(self, after: Position) -> bool:
        return self._seen is not None and self._seen.seq > after.seq

    async def _look(self) -> None:
        if not self._waiting:
            return
        found = await self.now()
        if found != self._seen:
            self._seen = found
            async with self._news:
                self._news.notify_all()
