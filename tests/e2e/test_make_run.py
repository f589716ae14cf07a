"""What `make run` promises: one command, one result, one fate for all processes."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.stack import ROOT, SERVING_PYTHON, free_ports

pytestmark = pytest.mark.slow
Launcher = subprocess.Popen[str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    gateway, classifier, detector = (str(port) for port in free_ports(3))
    return {
        **os.environ,
        "CXR_GATEWAY_PORT": gateway,
        "CXR_CLASSIFIER_PORT": classifier,
        "CXR_DETECTOR_PORT": detector,
        "CXR_GATEWAY_ARCHIVE_DIR": str(tmp_path / "archive"),
    }


@pytest.fixture
def launcher(environment: dict[str, str], tmp_path: Path) -> Iterator[Launcher]:
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [SERVING_PYTHON, "-m", "cxr_launcher"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with process:
        yield process
        if process.poll() is None:
            process.terminate()


def read_result(launcher: Launcher) -> dict[str, object]:
    assert launcher.stdout is not None
    lines: list[str] = []
    for line in launcher.stdout:
        lines.append(line)
        if line == "}\n":
            break
    result: dict[str, object] = json.loads("".join(lines))
    return result


def services_of(launcher: Launcher) -> dict[str, psutil.Process]:
    named = {}
    for process in psutil.Process(launcher.pid).children(recursive=True):
        name = process.cmdline()[-1].removeprefix("cxr_")
        # Between the launcher and each service stands a process of the supervisor.
        if name in ("gateway", "classifier", "detector"):
            named[name] = process
    return named


def test_it_prints_the_samples_result_and_the_pages_address(launcher: Launcher) -> None:
    result = read_result(launcher)
    assert result["status"] == "complete"
    assert len(result["top_findings"]) == 3  # type: ignore[arg-type]
    assert result["boxes"]
    assert result["triage"]
    assert launcher.stdout is not None
    assert "http://localhost:" in launcher.stdout.readline() + launcher.stdout.readline()


def test_a_second_start_is_quick(launcher: Launcher) -> None:
    start = time.monotonic()
    read_result(launcher)
    # The promise is ten seconds; a shared machine under load gets three times as long.
    assert time.monotonic() - start < 30


def test_when_one_service_dies_all_stop_and_the_exit_status_says_so(launcher: Launcher) -> None:
    read_result(launcher)
    running = services_of(launcher)
    assert set(running) == {"gateway", "classifier", "detector"}
    running["detector"].kill()
    assert launcher.wait(30) != 0
    _, alive = psutil.wait_procs(list(running.values()), timeout=10)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_service_outlives_the_supervisor(launcher: Launcher, number: signal.Signals) -> None:
    read_result(launcher)
    running = list(services_of(launcher).values())
    assert len(running) == 3
    launcher.send_signal(number)
    launcher.wait(30)
    _, alive = psutil.wait_procs(running, timeout=10)
    assert alive == []


def test_everything_listens_on_loopback_only(launcher: Launcher) -> None:
    read_result(launcher)
    listening = [
        connection.laddr.ip
        for process in services_of(launcher).values()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 3
    assert set(listening) == {"127.0.0.1"}


def test_a_port_in_use_is_one_sentence(environment: dict[str, str], launcher: Launcher) -> None:
    read_result(launcher)
    second = subprocess.run(
        [SERVING_PYTHON, "-m", "cxr_launcher"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "is in use" in second.stderr
    assert second.stderr.count("\n") == 1


def test_serving_installs_no_pytorch() -> None:
    listed = {path.name.lower() for path in SERVING_PYTHON.parents[1].glob("lib/*/site-packages/*")}
    assert "onnxruntime" in listed
    assert not {"torch", "torchvision", "ultralytics", "timm", "nvidia"} & listed
