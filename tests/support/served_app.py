"""An ASGI app on a port of its own, in a thread of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

from support.waiting import eventually


@contextmanager
def served(app: ASGIApp, *, lifespan: Literal["on", "off"] = "on") -> Iterator[int]:
    """The port on which `app` answers, until the end of the block."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan=lifespan, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def started() -> bool:
        assert thread.is_alive(), "the app does not start"
        return server.started

    eventually(started, "the app did not start", timeout_s=120)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the app does not stop"
