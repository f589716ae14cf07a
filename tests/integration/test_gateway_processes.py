"""The gateway as a real process: killed, out of space, locked out, left by its clients."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx
import psutil
import pytest

from support.images import encoded, png, radiograph_like
from support.live_gateway import STUDIES, FakeServices, Gateway, Starter
from support.waiting import eventually, free_port

# httpx keeps an idle connection for five seconds, as uvicorn does where it is not told otherwise.
SILENT_S = 6.0


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_killed_in_the_middle_of_an_analysis_it_leaves_no_half_study(
    start: Starter, services: FakeServices, threads: ThreadPoolExecutor
) -> None:
    services.classifier.answer = services.hold
    first = start()
    upload = threads.submit(first.post, png())
    # The file is at its final place and the row is not yet written: the worst moment.
    eventually(
        lambda: any(name.startswith("studies/") for name in first.files()), "nothing was kept"
    )
    first.kill()
    with pytest.raises(httpx.TransportError):
        upload.result()
    assert len(first.files()) == 1
    services.released.set()
    second = start()
    assert second.files() == []
    assert second.total() == 0
    assert second.post(png()).status_code == 201
    assert len(second.files()) == 1


def half_an_upload(gateway: Gateway, size: int) -> socket.socket:
    """A connection on which a part of a large upload has been sent."""
    connection = socket.create_connection(("127.0.0.1", gateway.client.base_url.port or 0))
    head = (
        f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * size}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    connection.sendall(head.encode() + bytes(size))
    return connection


def test_killed_in_the_middle_of_an_upload_it_leaves_no_orphan_file(start: Starter) -> None:
    first = start()
    with half_an_upload(first, 3_000_000):
        eventually(lambda: first.files() != [], "nothing was received")
        first.kill()
    assert len(first.files()) == 1
    assert start().files() == []


def test_a_client_that_hangs_up_in_the_middle_of_an_upload_leaves_nothing(start: Starter) -> None:
    gateway = start()
    with half_an_upload(gateway, 3_000_000):
        eventually(lambda: gateway.files() != [], "nothing was received")
    eventually(lambda: gateway.files() == [], "the half file stayed")
    assert gateway.total() == 0


def test_a_full_disk_is_a_507_and_leaves_nothing(start: Starter) -> None:
    # The limit holds for memory files, too, in which a decoder process hands over pixels.
    gateway = start(CXR_TEST_MAX_FILE_BYTES=1_000_000, CXR_GATEWAY_DECODERS="in-process")
    large = encoded(radiograph_like(1500, 1500))
    assert len(large) > 1_000_000
    response = gateway.post(large)
    assert response.status_code == 507
    assert response.json()["type"] == "urn:cxr:problem:storage-full"
    assert gateway.files() == []
    assert gateway.total() == 0
    assert gateway.post(png()).status_code == 201


def test_a_locked_database_is_a_503_that_leaves_nothing_and_passes(
    start: Starter, services: FakeServices
) -> None:
    gateway = start()
    lock = sqlite3.connect(gateway.archive / "archive.sqlite3", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()
    response = gateway.post(png())
    assert response.status_code == 503
    assert "database is locked" in response.json()["detail"]
    assert time.monotonic() - started < 10
    assert gateway.files() == []
    lock.execute("ROLLBACK")
    lock.close()
    assert gateway.post(png()).status_code == 201
    assert gateway.total() == 1


def test_told_to_stop_it_finishes_the_analysis_that_it_has_begun(
    start: Starter, services: FakeServices, threads: ThreadPoolExecutor
) -> None:
    services.classifier.answer = services.hold
    gateway = start()
    upload = threads.submit(gateway.post, png())
    eventually(lambda: services.classifier.asked == 1, "the classifier was not asked")
    gateway.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    services.released.set()
    assert upload.result().status_code == 201
    # uvicorn passes the signal on once it has shut down.
    assert gateway.process.wait(20) in (0, -signal.SIGTERM)
    assert start().total() == 1


def test_an_upload_over_the_limit_gets_its_413_and_memory_stays_flat(start: Starter) -> None:
    gateway = start()
    assert gateway.post(png()).status_code == 201
    before = psutil.Process(gateway.process.pid).memory_info().rss

    def endless() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(1000):
            yield bytes(64_000)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    # The gateway hangs up on who goes on sending; some clients see that before the answer.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError):
        response = gateway.client.post(STUDIES, content=endless(), headers=headers)
        assert response.status_code == 413
    after = psutil.Process(gateway.process.pid).memory_info().rss
    assert after - before < 25_000_000
    eventually(lambda: len(gateway.files()) == 1, "the refused file stayed")
    with socket.create_connection(("127.0.0.1", gateway.client.base_url.port or 0)) as connection:
        head = f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(20).startswith(b"HTTP/1.1 413 ")  # before a byte of it was sent


def test_a_result_survives_a_restart_to_the_byte(start: Starter) -> None:
    first = start()
    answer = first.post(png())
    address = f"{STUDIES}/{answer.json()['id']}"
    overlay = first.client.get(f"{address}/overlay.png").content
    first.kill()
    second = start()
    assert second.client.get(address).content == answer.content
    assert second.client.get(f"{address}/overlay.png").content == overlay


def test_a_connection_may_be_silent_for_as_long_as_clients_keep_one(start: Starter) -> None:
    gateway = start()
    connection = HTTPConnection("127.0.0.1", gateway.client.base_url.port or 0, timeout=20)
    for pause_s in (0.0, SILENT_S):
        time.sleep(pause_s)
        connection.request("GET", "/livez")
        # Where the other end had closed it, this would raise: it does not connect again.
        connection.auto_open = 0
        response = connection.getresponse()
        assert response.status == httpx.codes.OK
        response.read()
    connection.close()


def test_a_gateway_without_its_ood_detector_does_not_start_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CXR_GATEWAY_PORT": str(free_port()),
        "CXR_GATEWAY_ARCHIVE_DIR": str(tmp_path / "archive"),
        "CXR_GATEWAY_OOD_MODEL_DIR": str(tmp_path / "no-ood"),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "cxr_gateway"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3
    assert "no-ood" in ended.stderr


def test_a_misspelt_setting_does_not_start_either() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CXR_GATEWAY_ARCHIV_DIR": "x",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "cxr_gateway"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "CXR_GATEWAY_ARCHIV_DIR" in ended.stderr
