"""Radiographs fetched from Debian's Orthanc by C-MOVE and over the web: each once, and not many."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Self

import httpx
import pydicom
import pytest

from cxr_dicom.peers import DicomwebSource
from support.dicom_gateway import FakeGateway
from support.dicom_node import NodeStarter, program, radiograph
from support.pacs import ORTHANC, Orthanc, running_orthanc
from support.waiting import eventually, free_port

slow = pytest.mark.slow


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path / "orthanc", free_port()) as archive:
        yield archive


def filled(orthanc: Orthanc, folder: Path, *contents: bytes) -> None:
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.dcm")
        paths[-1].write_bytes(content)
    command = [program("storescu"), "-aet", "MODALITY", "-aec", ORTHANC, "127.0.0.1"]
    subprocess.run([*command, str(orthanc.dicom_port), *map(str, paths)], check=True)


def source(orthanc: Orthanc, protocol: str, **more: object) -> str:
    """The file of peers with one archive, looked at every second."""
    where = (
        f'ae_title = "{ORTHANC}"\nhost = "127.0.0.1"\nport = {orthanc.dicom_port}'
        if protocol == "dicom"
        else f'url = "{str(orthanc.http.base_url).rstrip("/")}/dicom-web"'
    )
    values = {"every_s": 1, "days": 3} | more
    lines = "\n".join(f"{name} = {value}" for name, value in values.items())
    return f'[[source]]\nname = "archive"\nprotocol = "{protocol}"\n{where}\n{lines}\n'


TODAY = f"{date.today():%Y%m%d}"  # DICOM's dates are local


@slow
@pytest.mark.parametrize("protocol", ["dicom", "dicomweb"])
def test_chest_radiographs_of_these_days_are_fetched_once(
    protocol: str,
    node: NodeStarter,
    gateway: FakeGateway,
    orthanc: Orthanc,
    tmp_path: Path,
) -> None:
    wanted = [radiograph(number, StudyDate=TODAY) for number in (1, 2)]
    filled(
        orthanc,
        tmp_path,
        *wanted,
        radiograph(3, StudyDate="20200101"),
        radiograph(4, StudyDate=TODAY, BodyPartExamined="HAND"),
        radiograph(5, StudyDate=TODAY, Modality="CT"),
    )
    running = node(gateway.url, source(orthanc, protocol), dicom_port=orthanc.node_port)
    eventually(lambda: running.count("instances", "analysed") == 2, "they were not fetched", 120)
    patients = {pydicom.dcmread(BytesIO(one)).PatientID for one in gateway.received}
    assert patients == {"P1", "P2"}
    # It looks again and again, and a restart is no reason to fetch them again.
    running.kill()
    again = node(gateway.url, source(orthanc, protocol), dicom_port=orthanc.node_port)
    filled(orthanc, tmp_path, radiograph(6, StudyDate=TODAY))
    eventually(lambda: again.count("instances", "analysed") == 3, "a new one was not fetched", 120)
    assert [pydicom.dcmread(BytesIO(one)).PatientID for one in gateway.received] == [
        "P1",
        "P2",
        "P6",
    ]
    assert again.metric('cxr_dicom_received_total{outcome="duplicate"}') == 0


@slow
def test_no_more_are_fetched_than_the_archive_can_bear(
    node: NodeStarter, gateway: FakeGateway, orthanc: Orthanc, tmp_path: Path
) -> None:
    filled(orthanc, tmp_path, *(radiograph(number, StudyDate=TODAY) for number in range(1, 6)))
    limited = source(orthanc, "dicomweb", per_hour=2)
    running = node(gateway.url, limited, dicom_port=orthanc.node_port)
    eventually(lambda: running.count("instances", "analysed") == 2, "none was fetched", 120)
    time.sleep(3)
    assert running.count("instances", "analysed") == 2
    running.kill()
    hour = datetime.now(UTC).astimezone()
    quiet = {
        "quiet_from": f"{hour - timedelta(hours=1):%H:%M:%S}",
        "quiet_until": f"{hour + timedelta(hours=1):%H:%M:%S}",
    }
    again = node(gateway.url, source(orthanc, "dicomweb", **quiet), dicom_port=orthanc.node_port)
    time.sleep(3)
    assert again.count("instances", "analysed") == 2


@slow
def test_an_archive_that_fails_for_a_while_costs_an_instance_none_of_its_attempts(
    node: NodeStarter, gateway: FakeGateway, orthanc: Orthanc, tmp_path: Path
) -> None:
    filled(orthanc, tmp_path, radiograph(1, StudyDate=TODAY))
    with FailingRetrievals(str(orthanc.http.base_url)) as between:
        peers = source(orthanc, "dicomweb").replace(
            str(orthanc.http.base_url).rstrip("/"), between.url
        )
        running = node(gateway.url, peers, dicom_port=orthanc.node_port)
        eventually(lambda: between.failed >= 5, "it was not asked again", 120)
        between.fails = False
        eventually(lambda: running.count("instances", "analysed") == 1, "it was given up", 120)


class FailingRetrievals:
    """A reverse proxy before an archive that answers each retrieval of an instance with 503."""

    def __init__(self, archive: str) -> None:
        gateway = self
        self.fails, self.failed = True, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if gateway.fails and "/series/" in self.path:
                    gateway.failed += 1
                    self.send_error(503)
                    return
                accept = {"Accept": self.headers["Accept"]}
                answer = httpx.get(f"{archive.rstrip('/')}{self.path}", headers=accept)
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class EndlessAnswers:
    """An archive that names one instance, and answers its retrieval without an end."""

    def __init__(self) -> None:
        gateway = self
        self.sent, self.asked = 0, 0
        named = {
            "00080018": {"Value": ["1.2.3.4"]},
            "0020000D": {"Value": ["1.2.3"]},
            "0020000E": {"Value": ["1.2.3.1"]},
            "00180015": {"Value": ["CHEST"]},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/dicom+json")
                self.end_headers()
                if "/series/" not in self.path:
                    self.wfile.write(json.dumps([named]).encode())
                    return
                gateway.asked += 1
                with suppress(ConnectionError):
                    while gateway.sent < 400_000_000:
                        gateway.sent += self.wfile.write(bytes(1_000_000))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@slow
def test_an_answer_without_end_is_ended_and_the_node_goes_on(
    node: NodeStarter, gateway: FakeGateway
) -> None:
    with EndlessAnswers() as archive:
        peers = (
            f'[[source]]\nname = "archive"\nprotocol = "dicomweb"\nurl = "{archive.url}"\n'
            "every_s = 1\ndays = 3\n"
        )
        running = node(gateway.url, peers, max_object_mb=5)
        # As often as any instance that cannot be had, each time no further than its limit.
        eventually(lambda: archive.asked == 3, "it was not tried", 60)
        time.sleep(2)
        assert archive.asked == 3
        assert archive.sent < 100_000_000
        assert running.http.get("/readyz").status_code == 200
        assert running.count("instances", "failed") == 0


def test_quiet_hours_may_run_over_midnight() -> None:
    def is_quiet(first: str, last: str, now: str) -> bool:
        peer = DicomwebSource.model_validate(
            {
                "name": "a",
                "protocol": "dicomweb",
                "url": "http://x",
                "quiet_from": first,
                "quiet_until": last,
            }
        )
        return peer.is_quiet(datetime.strptime(now, "%H:%M").time())

    assert is_quiet("07:00", "18:00", "07:00")
    assert not is_quiet("07:00", "18:00", "18:00")
    assert is_quiet("22:00", "06:00", "23:30")
    assert is_quiet("22:00", "06:00", "05:59")
    assert not is_quiet("22:00", "06:00", "12:00")
