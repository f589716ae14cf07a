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
def running(name: str, module: str) -> Iterator[tuple[Target, psutil.Process]]:
    """Start `python -m module PORT` and stop it, and what it started, at the end."""
    (port,) = free_ports(1)
    base = f"http://{LOOPBACK}:{port}"
    process = subprocess.Popen(  # the peer's own words go nowhere: its log is not ours to judge
        [sys.executable, "-m", module, str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = psutil.Process(process.pid)
    try:
        wait_for(f"{base}/health", process)
        yield Target(name, f"{base}/predict"), family
    finally:
        members = [*family.children(recursive=True), family]
        for member in members:
            member.terminate()
        psutil.wait_procs(members, timeout=10)
        for member in members:
            if member.is_running():
                member.kill()
        process.wait()
