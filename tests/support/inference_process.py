"""An inference service as a real process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from cxr_contracts import CLASSIFY_PATH, DETECT_PATH
from waiting import eventually, free_port

PATHS = {"classifier": CLASSIFY_PATH, "detector": DETECT_PATH}


def start(role: str, folder: Path, log: Path, **settings: object) -> "subprocess.Popen[bytes]":
    """Start the service `role` with the model in `folder`; its log is written anew."""
    prefix = f"CXR_{role.upper()}_"
    values = {"model_dir": folder, "runtime": "onnxruntime", "threads": 1} | settings
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{f"{prefix}{name.upper()}": str(value) for name, value in values.items()},
    }
    with log.open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", f"cxr_{role}"], env=environment, stderr=errors
        )


@contextlib.contextmanager
def running(
    role: str, folder: Path, log: Path, **settings: object
) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    """A service that is ready, and a client of it; killed at the end."""
    port = settings.pop("port", free_port())
    process = start(role, folder, log, port=port, **settings)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_ready(process, client, log)
            yield process, client
    finally:
        process.kill()
        process.wait()


def wait_until_ready(process: "subprocess.Popen[bytes]", client: httpx.Client, log: Path) -> None:
    """Return when it says that it is ready; fail with its log if it ends before."""

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return client.get("/readyz").status_code == 200
        return False

    eventually(ready, f"the service is not ready: {log}", timeout_s=120)
