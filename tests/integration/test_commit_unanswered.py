"""A commit whose answer never comes: the database may have made it, and the study must be there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.databases import OwnServer, own_postgresql
from support.fake_gateway import refused, running_gateway, settings_for
from support.images import png


class LossyLine:
    """Between a gateway and PostgreSQL; `cut` says when the next commit breaks the connection.

    Attributes:
        cut: "before" the server has the commit, "after" it has answered it, or None.
        cuts: how many connections were broken.
    """

    def __init__(self, socket: Path) -> None:
        self.cut: str | None = None
        self.cuts = 0
        self._socket = socket

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the gateway."""
        server_service, server_writer = await asyncio.open_unix_connection(self._socket)
        answers = asyncio.create_task(self._answers(server_service, writer))
        is_archiving = False
        try:
            while asked := await reader.read(65536):
                # The gateway looks after other things in transactions of its own.
                is_archiving |= b"INSERT INTO studies" in asked
                if self.cut is not None and is_archiving and b"COMMIT" in asked:
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.wait({answers})
                    if self.cut == "after":
                        server_writer.write(asked)
                        assert b"COMMIT" in await server_service.read(65536)
                    self.cut = None
                    return
                server_writer.write(asked)
        finally:
            answers.cancel()
            server_writer.close()
            writer.close()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while answer := await source.read(65536):
            sink.write(answer)


@asynccontextmanager
async def line_to(server: OwnServer) -> AsyncIterator[tuple[LossyLine, str]]:
    """A line to the server's database, and the URL that goes through it."""
    line = LossyLine(server.socket)
    listener = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield line, f"postgresql+psycopg://postgres@127.0.0.1:{port}/cxr?sslmode=disable"


@pytest.mark.parametrize(("cut", "status"), [("after", 200), ("before", 201)])
async def test_a_radiograph_whose_commit_was_not_answered_is_there_once_and_whole_when_sent_again(
    cut: str, status: int, tmp_path: Path
) -> None:
    with own_postgresql() as server:
        async with line_to(server) as (line, url):
            # No commit but those of requests.
            settings = settings_for(tmp_path / "archive", url, readiness_interval_s=600)
            async with running_gateway(settings) as gateway:
                line.cut = cut
                problem = refused(await gateway.post(png()), 503)
                assert line.cuts == 1
                assert "send the same again" in problem.detail
                again = await gateway.post(png())
                assert again.status_code == status
                study = f"/api/v1/studies/{again.json()['id']}"
                assert (await gateway.client.get(f"{study}/original")).content == png()
                assert (await gateway.client.get("/api/v1/studies")).json()["total"] == 1
            # What the lost commit left without a row is gone after a start.
            async with running_gateway(settings) as gateway:
                assert len([name for name in gateway.files() if "original" in name]) == 1
