"""Waiting for something to hold, and ports that nobody has."""

import socket
import time
from collections.abc import Callable


def free_port() -> int:
    """A port of the loopback interface that nothing holds at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Return when `holds()`; fail with the sentence `what` if it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
