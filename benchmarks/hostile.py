"""`python -m benchmarks.hostile URL SECONDS`: one client that means harm, as a process of its own.

It has one valid key (`CXR_HOSTILE_KEY`) of a department of its own, and one address. At once it
begins uploads that drip, sends files as fast as twice what its key may ask for (new radiographs,
images that would be huge, DICOM that ends too early, texts) without waiting for anything, and
guesses keys. What it was answered is printed as JSON, a count for each kind and status.
"""

import argparse
import asyncio
import itertools
import json
import os
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx

from benchmarks.images import sample_png, unique_pngs

STUDIES = "/api/v1/studies"
ADDRESS = "10.9.9.9"
SLOW_UPLOADS = 32
_FILES_A_SECOND = 40.0
_GUESSES_A_SECOND = 20.0
_MOST_OUTSTANDING = 100
_DRIP_S = 1.0
_Item = TypeVar("_Item")


class Hostile:
    """Its ways of asking, and what they were answered."""

    def __init__(self, http: httpx.AsyncClient, seconds: float) -> None:
        self._http = http
        self._until = time.monotonic() + seconds
        self.answers: Counter[str] = Counter()

    async def all_at_once(self) -> None:
        """Do harm until the time is over."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SLOW_UPLOADS):
                group.create_task(self._drip())
            group.create_task(self._paced(_FILES_A_SECOND, self._send, _files()))
            group.create_task(self._paced(_GUESSES_A_SECOND, self._guess, itertools.count()))

    async def _drip(self) -> None:
        while time.monotonic() < self._until:
            await self._ask(
                "slow upload", content=self._drops(), headers={"Content-Type": "image/png"}
            )

    async def _drops(self) -> AsyncIterator[bytes]:
        while time.monotonic() < self._until:
            yield b"\x89"
            await asyncio.sleep(_DRIP_S)

    async def _send(self, item: tuple[str, bytes]) -> None:
        kind, content = item
        await self._ask(kind, files={"file": ("file", content)})

    async def _guess(self, number: int) -> None:
        await self._ask("guessed key", headers={"Authorization": f"Bearer cxr_{number:012d}_x"})

    async def _ask(self, kind: str, **what: Any) -> None:
        method = "GET" if kind == "guessed key" else "POST"
        try:
            response = await self._http.request(method, STUDIES, **what)
        except httpx.TransportError as error:
            self.answers[f"{kind}: {type(error).__name__}"] += 1
            await asyncio.sleep(0.1)
            return
        self.answers[f"{kind}: {response.status_code}"] += 1

    async def _paced(
        self, per_second: float, one: Callable[[_Item], Awaitable[None]], items: Iterator[_Item]
    ) -> None:
        started, outstanding = time.monotonic(), set[asyncio.Task[None]]()
        for number, item in enumerate(items):
            await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
            if time.monotonic() >= self._until:
                break
            if len(outstanding) < _MOST_OUTSTANDING:
                task = asyncio.ensure_future(one(item))
                outstanding.add(task)
                task.add_done_callback(outstanding.discard)
        await asyncio.gather(*outstanding)


def _files() -> Iterator[tuple[str, bytes]]:
    """Mostly radiographs, which cost the most; each kind in its turn."""
    radiographs = unique_pngs(sample_png())
    bad = itertools.cycle(
        [
            ("huge image", _huge_png()),
            ("cut DICOM", b"\0" * 128 + b"DICM\2\0\0\0"),
            ("text", b"x" * 999),
        ]
    )
    while True:
        for _ in range(3):
            yield "radiograph", next(radiographs)
        yield next(bad)


def _huge_png() -> bytes:
    """A PNG that says it has 400 megapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


async def _run(url: str, key: str, seconds: float) -> Counter[str]:
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": ADDRESS}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, trust_env=False, limits=limits
    ) as http:
        hostile = Hostile(http, seconds)
        await hostile.all_at_once()
    return hostile.answers


def main() -> int:
    """Do harm for a while, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    answers = asyncio.run(_run(options.url, os.environ["CXR_HOSTILE_KEY"], options.seconds))
    sys.stdout.write(json.dumps(dict(sorted(answers.items()))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
