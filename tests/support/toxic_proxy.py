"""A TCP proxy that makes a connection slow, thin or short while others use it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CHUNK_BYTES = 16 * 1024


@dataclass
class Toxins:
    """What is done to the connections from now on; all of them may change at any time.

    Attributes:
        latency_s: before each piece of an answer is passed on.
        bytes_per_s: of an answer; None is as fast as it comes.
        cut_after_bytes: of an answer, then the connection is closed; None is never.
    """

    latency_s: float = 0.0
    bytes_per_s: float | None = None
    cut_after_bytes: int | None = None

    def heal(self) -> None:
        """From now on nothing is done."""
        self.latency_s, self.bytes_per_s, self.cut_after_bytes = 0.0, None, None


@dataclass
class ToxicProxy:
    """A running proxy."""

    port: int
    toxins: Toxins


@contextmanager
def toxic_proxy(target_port: int) -> Iterator[ToxicProxy]:
    """A proxy on a port of its own in front of `target_port`, in a thread, until the block ends."""
    toxins, started = Toxins(), threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _between(reader, writer, target_port, toxins)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        await stopped.wait()
        server.close()
        # Connections that are still open end with the loop.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield ToxicProxy(ports[0], toxins)
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(30)
        loop.run_until_complete(asyncio.sleep(0))  # the cancelled connections close
        loop.close()


async def _between(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, toxins: Toxins
) -> None:
    try:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    forth = asyncio.create_task(_passed_on(reader, upstream_writer, Toxins()))
    back = asyncio.create_task(_passed_on(upstream_reader, writer, toxins))
    try:
        await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (forth, back):
            task.cancel()
        for end in (upstream_writer, writer):
            end.close()


async def _passed_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, toxins: Toxins
) -> None:
    passed = 0
    try:
        while chunk := await source.read(_CHUNK_BYTES):
            await asyncio.sleep(toxins.latency_s)
            if toxins.cut_after_bytes is not None:
                chunk = chunk[: max(0, toxins.cut_after_bytes - passed)]
                if not chunk:
                    return
            if toxins.bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / toxins.bytes_per_s)
            passed += len(chunk)
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        return
