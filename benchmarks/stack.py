"""The services as real processes on free ports, from the serving environment."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx
import psutil

from cxr_launcher.settings import LOOPBACK, LauncherSettings, services

ROOT = Path(__file__).parents[1]
SERVING_PYTHON = ROOT / ".venv" / "bin" / "python"
_STOP_TIMEOUT_S = 10.0
_OF_AN_UPLOAD = ("gateway", "classifier", "detector")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nothing holds at this moment."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((LOOPBACK, 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _packages_of(root: Path) -> str:
    """The folders of another tree's packages, which come before those that are installed."""
    found = root.glob("services/*/cxr_*/__init__.py")
    return os.pathsep.join(str(one.parents[1]) for one in found)


def wait_for(url: str, process: subprocess.Popen[bytes], *, timeout_s: float = 90.0) -> None:
    """Return when `url` answers 200; RuntimeError if its process ends or the time runs out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the process behind {url} ended with {process.returncode}")
        try:
            if httpx.get(url, timeout=2.0, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} was not ready within {timeout_s:.0f} s")


class Stack:
    """Gateway, classifier, detector and DICOM node over an archive folder; a context manager.

    Args:
        folder: holds the archive and a log file a service.
        environment: further variables for all services.
        python: the interpreter to run them with; by default the serving environment's, which
            has no PyTorch.
        root: whose services and models; by default this tree's.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        python: Path = SERVING_PYTHON,
        root: Path = ROOT,
    ) -> None:
        if not python.exists():
            raise FileNotFoundError(f"{python} is missing; run `make setup` first")
        classifier, detector, gateway, dicom, probes = free_ports(5)
        settings = LauncherSettings(
            gateway_port=gateway,
            classifier_port=classifier,
            detector_port=detector,
            dicom_port=probes,
            dicom_dicom_port=dicom,
        )
        self.services = {service.name: service for service in services(settings)}
        self.folder = folder
        self._python = python
        self._root = root
        self._environment = {
            **os.environ,
            **({} if root == ROOT else {"PYTHONPATH": _packages_of(root)}),
            "CXR_GATEWAY_ARCHIVE_DIR": str(folder / "archive"),
            "CXR_DICOM_SPOOL_DIR": str(folder / "dicom"),
            **(environment or {}),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, IO[bytes]] = {}

    @property
    def url(self) -> str:
        """Base address of the gateway."""
        return self.services["gateway"].url

    def start(self, name: str) -> None:
        """Start a service and return when it is ready."""
        service = self.services[name]
        if name not in self._logs:
            self._logs[name] = (self.folder / f"{name}.log").open("ab")
        self._processes[name] = subprocess.Popen(
            [str(self._python), "-m", service.package],
            cwd=self._root,
            env={**self._environment, **service.environment},
            stdout=self._logs[name],
            stderr=subprocess.STDOUT,
        )
        wait_for(f"{service.url}/readyz", self._processes[name])

    def key(self, role: str, department: str) -> str:
        """A new API key of the running gateway."""
        service = self.services["gateway"]
        options = ("--role", role, "--department", department, "--name", "a benchmark")
        made = subprocess.run(
            [str(self._python), "-m", service.package, "keys", "create", *options],
            cwd=self._root,
            env={**self._environment, **service.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    def signal(self, name: str, number: int) -> None:
        """Send a signal, e.g. SIGSTOP to make a service slow beyond every timeout."""
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End a service without warning."""
        self._processes[name].kill()
        self._processes[name].wait()

    def pid(self, name: str) -> int:
        """The process id of a service."""
        return self._processes[name].pid

    def processes(self) -> list[psutil.Process]:
        """The three services that an upload goes through; who decodes files is their child."""
        return [psutil.Process(self.pid(name)) for name in _OF_AN_UPLOAD]

    def resident_bytes(self) -> int:
        """Resident memory of these services, without their children's."""
        return sum(process.memory_info().rss for process in self.processes())

    def log(self, name: str) -> str:
        """What a service has written so far."""
        return (self.folder / f"{name}.log").read_text()

    def __enter__(self) -> "Stack":
        try:
            for name in self.services:
                self.start(name)
        except RuntimeError as error:
            logs = "\n".join(f"--- {name}\n{self.log(name)[-2000:]}" for name in self._logs)
            self.close()
            raise RuntimeError(f"{error}\n{logs}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop all services, by force after ten seconds."""
        running = [p for p in self._processes.values() if p.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in running:
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs.values():
            log.close()
