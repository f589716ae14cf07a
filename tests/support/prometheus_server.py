"""A real Prometheus for tests: its process, what it answers, and what an expression asks of it."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy/monitoring"
RULES = ("rules.yml", "findings.yml")
DASHBOARD = MONITORING / "grafana/dashboards/chest-xray-reader.json"
_START_TIMEOUT_S = 60
_KEYWORDS = {"and", "or", "unless", "bool"}
# Of what is left of an expression without ranges, offsets and lists of labels: a name, perhaps
# with matchers, that is no function.
_SELECTOR = re.compile(r'(?<![\w:.])([a-zA-Z_:][\w:]*)(\{(?:[^}"]|"[^"]*")*\})?(?![\w:(]|\s*\()')
_NO_SELECTOR = re.compile(
    r"\[\d+[smhdw](?::\w*)?\]|\boffset\s+\w+|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)


def binary(name: str) -> str:
    """The path of `prometheus` or `promtool`; without them the test fails with a sentence."""
    local = ROOT / ".prometheus/usr/bin/prometheus"
    found = Path(os.environ.get("CXR_PROMETHEUS") or shutil.which("prometheus") or local)
    if not found.exists():
        pytest.fail(f"{found} is missing; `make {local.relative_to(ROOT)}` gets it", pytrace=False)
    return str(found.with_name(name))


def promtool(*arguments: str) -> str:
    """Run promtool where the files are; its output. AssertionError if it finds something wrong."""
    command = [binary("promtool"), *arguments]
    done = subprocess.run(command, cwd=MONITORING, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded ones and alerts."""
    groups = [
        g for name in RULES for g in yaml.safe_load((MONITORING / name).read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def selectors(expression: str) -> set[str]:
    """The series that an expression asks for, as selectors without range and offset."""
    text = _NO_SELECTOR.sub(" ", expression)
    return {found[0] for found in _SELECTOR.finditer(text) if found[1] not in _KEYWORDS}


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    """Return once `holds()`; fail with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@dataclass
class Prometheus:
    """A running one."""

    client: httpx.Client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now; AssertionError if it is no valid one."""
        answer = self.client.post("/api/v1/query", data={"query": expression}).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def unknown(self, expression: str) -> set[str]:
        """The selectors of an expression that no series answers; what is recorded later may be."""
        recorded = {rule["record"] for rule in rules() if "record" in rule}
        asked = selectors(expression) - recorded
        return {selector for selector in asked if not self.query(f"count({selector})")}


@contextmanager
def running(config: dict[str, Any], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus on a port of its own over an empty `folder`, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    command = [
        binary("prometheus"),
        f"--config.file={written}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=30, trust_env=False) as client:
            eventually(
                lambda: _ready(process, client, folder / "log"), "not ready", _START_TIMEOUT_S
            )
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(30)


def _ready(process: "subprocess.Popen[bytes]", client: httpx.Client, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False
