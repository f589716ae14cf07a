"""The inference services as real processes: what a supervisor sees of them."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.images import encoded, png, radiograph_like
from support.inference_process import PATHS, running, start
from support.waiting import free_port

pytestmark = pytest.mark.slow


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize("role", ["classifier", "detector"])
def test_a_service_answers_logs_json_and_ends_on_a_signal(
    role: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with running(role, request.getfixturevalue(f"{role}_folder"), log) as (process, client):
        response = client.post(
            PATHS[role],
            files={"image": ("Smith_John.png", png())},
            headers={"X-Request-ID": "study-7"},
        )
        assert response.status_code == 200
        assert response.headers["X-Request-ID"] == "study-7"
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    access = [line for line in lines_of(log) if line["logger"] == "cxr.access"]
    (line,) = [line for line in access if line["route"] == PATHS[role]]
    assert (line["request_id"], line["service"], line["status"]) == ("study-7", role, 200)
    assert "Smith" not in log.read_text()


@pytest.mark.parametrize("role", ["classifier", "detector"])
@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
def test_a_changed_model_ends_the_process_with_a_sentence_and_an_error_code(
    role: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(f"{role}_folder"), tmp_path / "model"))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    log = tmp_path / "log"
    process = start(role, folder, log, port=free_port())
    try:
        assert process.wait(120) == 1
    finally:
        process.kill()
        process.wait()
    (critical,) = [line for line in lines_of(log) if line["level"] == "critical"]
    assert f"{name} has the sha256" in critical["message"]
    assert "exception" not in critical


def test_a_wrong_setting_ends_the_process_with_its_name(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start("classifier", tmp_path, log, max_queue_lenght=3)
    assert process.wait(60) == 2
    assert "CXR_CLASSIFIER_MAX_QUEUE_LENGHT" in log.read_text()


@pytest.mark.parametrize("role", ["classifier", "detector"])
def test_memory_stays_flat_over_hundreds_of_requests(
    role: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(f"{role}_folder")
    images = [encoded(radiograph_like(width, 700)) for width in (500, 700, 900)]
    with running(role, folder, tmp_path / "log") as (process, client):

        def ask(times: int) -> int:
            for turn in range(times):
                image = images[turn % len(images)]
                assert client.post(PATHS[role], files={"image": image}).status_code == 200
            return int(psutil.Process(process.pid).memory_info().rss)

        settled = ask(100)
        assert ask(300) - settled < 20_000_000
        assert settled < 400_000_000
