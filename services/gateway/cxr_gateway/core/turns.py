"""Turns at something of which few can be had at once, dealt out to senders and not to requests."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """At most `limit` at once; of those who wait, each sender's first has its turn, one by one.

    So whoever sends a hundred holds up another's single one by one turn, not by a hundred.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def hold(self, sender: str | None) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end of the block."""
        await self._acquire(sender)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, sender: str | None) -> None:
        if self._free:  # then nobody waits
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given just now
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            sender, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[sender] = turns  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
