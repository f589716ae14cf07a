"""The gateway as a real process in front of services on real ports: started, killed, started again.

The fixture `services` gives stands on real ports; `start` starts gateways over one archive.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from support.fake_gateway import FakeService
from support.served_app import served
from support.waiting import eventually, free_port

STUDIES = "/api/v1/studies"


@dataclass
class FakeServices:
    """Both stands on real ports; while `held`, the classifier does not answer."""

    classifier: FakeService = field(default_factory=lambda: FakeService("classifier"))
    detector: FakeService = field(default_factory=lambda: FakeService("detector"))
    released: threading.Event = field(default_factory=threading.Event)
    ports: dict[str, int] = field(default_factory=dict)

    async def hold(self, request: Request) -> Response:
        """Wait for the release without blocking the server."""
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        return await self.classifier.usual(request)


@pytest.fixture
def services() -> Iterator[FakeServices]:
    """Both stands, served until the end of the test."""
    stands = FakeServices()
    with contextlib.ExitStack() as stack:
        for gateway in (stands.classifier, stands.detector):
            port = stack.enter_context(served(gateway.app(), lifespan="off"))
            stands.ports[gateway.role] = port
        yield stands
        stands.released.set()


@dataclass
class Gateway:
    """A running gateway and a client of it."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    archive: Path

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self.client.base_url.port or 0

    def post(self, content: bytes) -> httpx.Response:
        """Upload a file."""
        return self.client.post(STUDIES, files={"file": ("radiograph.png", content)})

    def files(self) -> list[str]:
        """Every file that has arrived or is kept."""
        found = (p for room in ("studies", "incoming") for p in (self.archive / room).rglob("*"))
        return sorted(p.relative_to(self.archive).as_posix() for p in found if p.is_file())

    def total(self) -> int:
        """How many studies it lists."""
        return int(self.client.get(STUDIES).json()["total"])

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()


@dataclass
class Starter:
    """Starts gateways over one archive, in front of the services on `ports`."""

    ports: Mapping[str, int]
    folder: Path
    stack: contextlib.ExitStack

    def __call__(self, **more: object) -> Gateway:
        """A gateway that is ready; `more` are further variables of its environment, whole names."""
        port = more.get("CXR_GATEWAY_PORT", free_port())
        values: dict[str, object] = {
            "port": port,
            "archive_dir": self.folder / "archive",
            "classifier_url": f"http://127.0.0.1:{self.ports['classifier']}",
            "detector_url": f"http://127.0.0.1:{self.ports['detector']}",
            "rendering_idle_s": 3600,
            "database_timeout_s": 0.5,
        }
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{f"CXR_GATEWAY_{name.upper()}": str(value) for name, value in values.items()},
            **{name: str(value) for name, value in more.items()},
        }
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "support.gateway_process"], env=environment, stderr=log
            )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        client = self.stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        )
        gateway = Gateway(process, client, Path(environment["CXR_GATEWAY_ARCHIVE_DIR"]))
        eventually(lambda: self._ready(gateway), "the gateway did not become ready", 180)
        return gateway

    def _ready(self, gateway: Gateway) -> bool:
        assert gateway.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(httpx.TransportError):
            return gateway.client.get("/readyz").status_code == 200
        return False


@pytest.fixture
def start(services: FakeServices, tmp_path: Path) -> Iterator[Starter]:
    """Starts gateways in front of the stands; all are killed at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield Starter(services.ports, tmp_path, stack)
