"""Which of the addresses behind a reader's name is asked next.

A name stands for as many containers as there are of a reader. A connection pool keeps to the one
that it met first, and the system's resolver sorts addresses the same way each time, so neither
spreads anything: here the least busy one is asked, and one that failed is left alone for a while.
"""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

# A container that was added is found, and one that is gone forgotten, within this time.
_RESOLVED_FOR_S = 1.0
_REST_S = 2.0
Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of `host`, without repetition. Raises OSError if the name is not known."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Addresses:
    """The addresses of every host that is asked, and how busy each is with our own requests."""

    def __init__(
        self, resolve: Resolve = resolved, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolve = resolve
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._busy: Counter[str] = Counter()
        self._asked: dict[str, int] = {}
        self._rests_until: dict[str, float] = {}
        self._turn = 0

    async def of(self, host: str, port: int) -> list[str]:
        """The addresses now. Raises OSError if the name is not known."""
        at, known = self._known.get((host, port), (0.0, []))
        if known and self._clock() - at < _RESOLVED_FOR_S:
            return known
        known = await self._resolve(host, port)
        self._known[host, port] = (self._clock(), known)
        self._forget()
        return known

    def best(self, addresses: Collection[str]) -> str:
        """Of `addresses` the one with the fewest requests; of several, the longest not asked.

        Those that rest come last.
        """
        now = self._clock()
        return min(
            addresses,
            key=lambda address: (
                self._rests_until.get(address, now) > now,
                self._busy[address],
                self._asked.get(address, 0),
            ),
        )

    @contextmanager
    def asking(self, address: str) -> Iterator[None]:
        """Count a request to `address` for as long as it lasts."""
        self._turn += 1
        self._asked[address] = self._turn
        self._busy[address] += 1
        try:
            yield
        finally:
            self._busy[address] -= 1

    def let_rest(self, address: str) -> None:
        """Ask the others first for a while."""
        self._rests_until[address] = self._clock() + _REST_S

    def _forget(self) -> None:
        """Drop what is known of addresses that no name has any more."""
        current = {address for _, known in self._known.values() for address in known}
        for address in self._asked.keys() - current:
            if not self._busy[address]:
                del self._asked[address], self._busy[address]
                self._rests_until.pop(address, None)
