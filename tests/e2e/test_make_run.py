"""What `make run` promises: one command, one result, one fate for all processes."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from benchmarks.stack import ROOT, SERVING_PYTHON, free_ports
from cxr_gan.choosing import merit
from support.images import EXAMPLES

pytestmark = pytest.mark.slow
Launcher = subprocess.Popen[str]


def environment_in(folder: Path) -> dict[str, str]:
    gateway, classifier, detector, dicom, probes = (str(port) for port in free_ports(5))
    return {
        **os.environ,
        "CXR_GATEWAY_PORT": gateway,
        "CXR_CLASSIFIER_PORT": classifier,
        "CXR_DETECTOR_PORT": detector,
        "CXR_DICOM_DICOM_PORT": dicom,
        "CXR_DICOM_PORT": probes,
        "CXR_DICOM_SPOOL_DIR": str(folder / "dicom"),
        "CXR_GATEWAY_ARCHIVE_DIR": str(folder / "archive"),
    }


@contextlib.contextmanager
def launched(environment: dict[str, str], folder: Path) -> Iterator[Launcher]:
    with (folder / "log").open("w") as log:
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


@dataclass(frozen=True)
class Running:
    """A system as `make run` starts it, for tests that leave it running."""

    launcher: Launcher
    environment: dict[str, str]
    result: dict[str, object]
    """What it printed of the sample."""
    after: str
    """The lines after that."""
    took_s: float


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("run")
    environment, began = environment_in(folder), time.monotonic()
    with launched(environment, folder) as launcher:
        result, took_s = read_result(launcher), time.monotonic() - began
        assert launcher.stdout is not None
        after = launcher.stdout.readline() + launcher.stdout.readline()
        yield Running(launcher, environment, result, after, took_s)


@pytest.fixture
def launcher(tmp_path: Path, one_detector: dict[str, str]) -> Iterator[Launcher]:
    """One to be ended."""
    with launched({**environment_in(tmp_path), **one_detector}, tmp_path) as process:
        yield process


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
        if name in ("gateway", "classifier", "detector", "dicom"):
            named[name] = process
    return named


def test_it_prints_the_samples_result_and_the_pages_address(running: Running) -> None:
    result = running.result
    assert result["status"] == "complete"
    assert len(result["top_findings"]) == 3  # type: ignore[arg-type]
    assert result["boxes"]
    assert result["triage"]
    assert "http://localhost:" in running.after


def test_the_models_agree_with_each_examples_name(running: Running) -> None:
    """Whoever publishes another model makes the examples again: `make examples`."""
    index = json.loads((EXAMPLES / "index.json").read_text())
    url = f"http://localhost:{running.environment['CXR_GATEWAY_PORT']}"
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as client:
        disagreed = []
        for example in index["examples"]:
            png = (EXAMPLES / example["file"]).read_bytes()
            answer = client.post("/api/v1/studies", files={"file": (example["file"], png)})
            if merit(answer.json(), next(iter(example["labels"]), None)) is None:
                disagreed.append(example["file"])
    assert not disagreed


def test_the_readme_tells_what_it_answers(running: Running) -> None:
    """Its curl is run as it is written; Python and C# ask for the same, and say the same."""
    readme = (ROOT / "README.md").read_text()
    [(command, said)] = re.findall(
        r"^```sh\n(curl .*?)^```\n\n^```\n(.*?)^```", readme, re.M | re.S
    )
    port = running.environment["CXR_GATEWAY_PORT"]
    command = command.replace("localhost:8000", f"localhost:{port}").partition("|")[0]
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    study = json.loads(done.stdout)
    # What `jq` makes of it.
    priority, cause = study["triage"]["priority"], study["triage"]["cause"]["finding"]
    told = [json.loads(line) for line in said.splitlines()]
    assert told[:2] == [priority, cause]
    assert len(told) == 2 + len(study["top_findings"])
    for (finding, level, probability), found in zip(told[2:], study["top_findings"], strict=True):
        assert (finding, level) == (found["finding"], found["level"])
        # Networks on another processor differ in the last digits.
        assert probability == pytest.approx(found["probability"], abs=2e-4)
    first = study["top_findings"][0]
    assert f"Both print `{priority} {first['finding']} {first['level']}`." in readme


def test_a_start_after_the_setup_is_quick(running: Running) -> None:
    # The promise is ten seconds; a shared machine under load gets three times as long.
    assert running.took_s < 30


def test_when_one_service_dies_all_stop_and_the_exit_status_says_so(launcher: Launcher) -> None:
    read_result(launcher)
    processes = services_of(launcher)
    assert set(processes) == {"gateway", "classifier", "detector", "dicom"}
    processes["detector"].kill()
    assert launcher.wait(30) != 0
    _, alive = psutil.wait_procs(list(processes.values()), timeout=10)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_service_outlives_the_supervisor(launcher: Launcher, number: signal.Signals) -> None:
    read_result(launcher)
    processes = list(services_of(launcher).values())
    assert len(processes) == 4
    launcher.send_signal(number)
    launcher.wait(30)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []


def test_everything_listens_on_loopback_only(running: Running) -> None:
    listening = [
        connection.laddr.ip
        for process in services_of(running.launcher).values()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 5
    assert set(listening) == {"127.0.0.1"}


def test_a_port_in_use_is_one_sentence(running: Running) -> None:
    second = subprocess.run(
        [SERVING_PYTHON, "-m", "cxr_launcher"],
        cwd=ROOT,
        env=running.environment,
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
