"""A peer service as a process on a free port."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.load import Target
from benchmarks.stack import ROOT, free_ports, wait_for
from cxr_launcher.settings import LOOPBACK


@contextmanager
def running(name: str, module: str, field: str) -> Iterator[tuple[Target, psutil.Process]]:
    """Start `python -m module PORT`, a service that takes files as `field`; stop it at the end."""
    (port,) = free_ports(1)
    base = f"http://{LOOPBACK}:{port}"
    process = subprocess.Popen(  # the peer's own words go nowhere: its log is not ours to read
        [sys.executable, "-m", module, str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = psutil.Process(process.pid)
    try:
        wait_for(f"{base}/health", process)
        yield Target(name, f"{base}/predict", field), family
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
