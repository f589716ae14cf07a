"""The system under docker compose, for tests: a project and a port of its own, taken down whole.

`COMPOSE_FILE` is respected, so that a site's own overlay (a build network, a set of processors)
is under the tests, too.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import httpx
import yaml
from docker.models.containers import Container

ROOT = Path(__file__).parents[2]
SERVICES = ("frontend", "gateway", "classifier", "detector", "database")
# Does its work before the gateway starts, and ends.
ONCE = ("migrate",)
# Of the database, as the lines of .env name their passwords.
ROLES = ("", "MIGRATOR_", "APP_")
# Under the profile of this name only.
MONITORING = ("prometheus", "grafana")
# Started with the profile `dicom` only.
DICOM = "dicom"
# A PACS to try it with, under the profile `pacs`.
ORTHANC = "orthanc"
# Started with the profile `shadow` only.
SHADOWS = {"classifier-shadow": "classifier", "detector-shadow": "detector"}
PROFILES = ("monitoring", "dicom", "pacs", "shadow")
# pragma: allowlist nextline secret
PASSWORD = "p@ss:w/rd with#everything%"  # must survive .env, URL and shell
_START_TIMEOUT_S = 240


def compose_command() -> list[str]:
    """`docker compose`, or the older `docker-compose`."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "Neither docker compose nor docker-compose is installed."
    return ["docker-compose"]


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    """Return once `holds()`; fail with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


@dataclass
class ComposeStack:
    """One project, of the files in `root`; `overlays` are compose files beside its own."""

    engine: docker.DockerClient
    overlays: Sequence[Path] = ()
    secret: str | None = PASSWORD
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    project: str = field(default_factory=lambda: f"cxr-test-{uuid4().hex[:8]}")
    root: Path = ROOT

    @property
    def url(self) -> str:
        """Of the front door."""
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run compose on this project; its output is in `stdout`, both streams together."""
        files = os.environ.get("COMPOSE_FILE", "docker-compose.yml").split(os.pathsep)
        chosen = [part for name in (*files, *map(str, self.overlays)) for part in ("-f", name)]
        finished = subprocess.run(
            [*compose_command(), "-p", self.project, *chosen, *arguments],
            cwd=self.root,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_START_TIMEOUT_S,
            check=False,
        )
        assert finished.returncode == 0 or not check, finished.stdout[-4000:]
        return finished

    def up(self, *arguments: str) -> None:
        """Start, and wait until the front door leads to a ready gateway."""
        self.compose("up", "--detach", "--no-build", *arguments)
        eventually(lambda: self.health("frontend") == ["healthy"], self.told())

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        secret, self.secret = self.secret, self.secret or "to be read, not used"
        profiles = [part for name in PROFILES for part in ("--profile", name)]
        self.compose(*profiles, "down", "--volumes", "--remove-orphans", "--timeout", "10")
        self.secret = secret

    def told(self) -> str:
        """The end of what every container has logged."""
        return self.compose("logs", "--no-color", "--tail", "20", check=False).stdout[-6000:]

    def containers(self, service: str | None = None) -> list[Container]:
        """Of this project, running or not; of one service, where it is named."""
        labels = [f"com.docker.compose.project={self.project}"]
        if service is not None:
            labels.append(f"com.docker.compose.service={service}")
        return self.engine.containers.list(all=True, filters={"label": labels})

    def container(self, service: str) -> Container:
        """The only container of a service."""
        [container] = self.containers(service)
        return container

    def health(self, service: str) -> list[str]:
        """`healthy`, `unhealthy` or `starting` for each running container of a service."""
        return [
            container.attrs["State"]["Health"]["Status"]
            for container in self.containers(service)
            if container.status == "running"
        ]

    def running(self) -> set[str]:
        """The services of which a container runs."""
        return {
            container.labels["com.docker.compose.service"]
            for container in self.containers()
            if container.status == "running"
        }

    def wait_healthy(self, service: str, count: int = 1) -> None:
        """Return when as many containers of `service` are healthy."""
        eventually(lambda: self.health(service) == ["healthy"] * count, self.told())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask the front door."""
        return httpx.get(self.url + path, timeout=30, trust_env=False, **options)

    def post(self, content: bytes, name: str = "chest.png") -> httpx.Response:
        """Upload a file at the front door."""
        files = {"file": (name, content, "application/octet-stream")}
        url = f"{self.url}/api/v1/studies"
        return httpx.post(url, files=files, timeout=120, trust_env=False)

    def _environment(self) -> dict[str, str]:
        processors = str(min(2, self.engine.info()["NCPU"]))
        names = ("GATEWAY", "CLASSIFIER", "DETECTOR", "DATABASE", "FRONTEND")
        given = {name: text for name, text in os.environ.items() if not name.startswith("CXR_")}
        given |= {f"CXR_{name}_CPUS": processors for name in names}
        given |= {"CXR_PORT": str(self.port), **self.settings}
        if self.secret is not None:
            given |= {f"CXR_DATABASE_{role}PASSWORD": self.secret for role in ROLES}
            given["CXR_SERVICE_TOKEN"] = self.secret
        return given


def inside(
    container: Container, *command: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit status and output of a command in a container."""
    status, output = container.exec_run(list(command), environment=dict(environment or {}))
    assert isinstance(status, int)
    assert isinstance(output, bytes)
    return status, output.decode()


def asked_inside(container: Container, url: str) -> str:
    """The body at `url` as the container's own Python gets it."""
    script = f"import urllib.request as r; print(r.urlopen({url!r}, timeout=5).read().decode())"
    status, output = inside(container, "python", "-c", script)
    assert status == 0, output
    return output


def default(text: str) -> str:
    """What compose makes of `text` without an `.env`."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def image_name(service: str) -> str:
    """The image of a service, as docker-compose.yml names it."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return default(compose["services"][service]["image"])


def write_overlay(path: Path, services: Mapping[str, Any], **more: Any) -> Path:
    """A compose file."""
    # JSON is YAML; the older compose wants a version in every file, the newer ignores it.
    path.write_text(json.dumps({"version": "3.9", "services": services, **more}))
    return path
