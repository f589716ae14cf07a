"""A peer service as a process on a free port."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from benchmarks.load import Target
from benchmarks.stack import ROOT, free_ports, wait_for
from cxr_launcher.settings import LOOPBACK

# They import PyTorch, some of them twice.
_START_S = 300.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A service to compare with.

    Attributes:
        command: starts it; the port comes as a last argument.
        field: the name of the file field.
        health: the path that answers 200 once it is ready.
        environment: further variables.
    """

    command: tuple[str, ...]
    field: str
    health: str = "/health"
    environment: Mapping[str, str] | None = None


@contextmanager
def running(name: str, peer: Peer) -> Iterator[tuple[Target, psutil.Process]]:
    """Start a peer, and stop it at the end.

    Raises:
        FileNotFoundError: its environment is missing.
        RuntimeError: it ended, or was not ready in time.
    """
    (port,) = free_ports(1)
    base = f"http://{LOOPBACK}:{port}"
    process = subprocess.Popen(  # the peer's own words go nowhere: its log is not ours to read
        [*peer.command, str(port)],
        cwd=ROOT,
        env={**os.environ, **(peer.environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = psutil.Process(process.pid)
    try:
        wait_for(f"{base}{peer.health}", process, timeout_s=_START_S)
        yield Target(name, f"{base}/predict", peer.field), family
    finally:
        members = _members(family)
        for member in members:
            member.terminate()
        psutil.wait_procs(members, timeout=10)
        for member in members:
            if member.is_running():
                member.kill()
        process.wait()


def _members(family: psutil.Process) -> list[psutil.Process]:
    try:
        return [*family.children(recursive=True), family]
    except psutil.NoSuchProcess:
        return []  # it ended by itself; `wait_for` has said so
