"""What the three services tell of their work, as real processes: nothing about a patient.

Whatever may say something about one carries a marker: every such tag of a DICOM file, texts in a
PNG, the file's name, the query, the headers. Each stage is made to fail in turn; then everything
that was written, counted or answered as a problem is searched.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import create_engine, text

from cxr_contracts import CLASSIFY_PATH, DETECT_PATH, PROBLEM_MEDIA_TYPE
from support.databases import postgresql_database
from support.images import encoded, radiograph_like
from support.marked_images import MARK, marked_radiograph

STUDIES = "/api/v1/studies"
HEADERS = {
    "User-Agent": f"{MARK}AGENT",
    "Referer": f"http://localhost/{MARK}REFERER",
    "Cookie": f"patient={MARK}COOKIE",
    "Authorization": f"Bearer {MARK}TOKEN",
    "X-Patient": f"{MARK}HEADER",
    # Not an id that is taken over: it has a character that none has.
    "X-Request-ID": f"{MARK}^REQUEST",
}
QUERY = {"patient": f"{MARK}QUERY"}


@dataclass
class Service:
    role: str
    log: Path
    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/readyz").status_code == 200
        return False

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class WholeSystem:
    """The three services, the gateway's database, and what clients were told."""

    gateway: Service
    classifier: Service
    detector: Service
    database_url: str
    archive: Path
    answers: list[httpx.Response] = field(default_factory=list)

    def ask(self, method: str, path: str, status: int, **more: Any) -> httpx.Response:
        """A request with markers all over it; the answer must have this status."""
        headers = {**HEADERS, **more.pop("headers", {})}
        answer = self.gateway.client.request(method, path, headers=headers, **more)
        assert answer.status_code == status, answer.text
        self.answers.append(answer)
        return answer

    def post(self, content: bytes, status: int, **headers: str) -> httpx.Response:
        files = {"file": (f"{MARK}FILE.dcm", content, "application/octet-stream")}
        return self.ask("POST", STUDIES, status, files=files, params=QUERY, headers=headers)

    def run(self, statement: str) -> None:
        engine = create_engine(self.database_url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def started(
    stack: contextlib.ExitStack, folder: Path, role: str, module: str, **values: Any
) -> Service:
    """A service at the most talkative of its levels."""
    port = free_port()
    values |= {"port": port, "log_level": "DEBUG"}
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        **{f"CXR_{role.upper()}_{name.upper()}": str(value) for name, value in values.items()},
    }
    log = folder / f"{role}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=errors)
    client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120))
    service = Service(role, log, process, client)
    stack.callback(service.stop)
    return service


@pytest.fixture
def system(tmp_path: Path, classifier_folder: Path, detector_folder: Path) -> Iterator[WholeSystem]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgresql_database())
        runtime = {"runtime": "onnxruntime", "threads": 1}
        classifier, detector = (
            started(stack, tmp_path, role, f"cxr_{role}", model_dir=folder, **runtime)
            for role, folder in (("classifier", classifier_folder), ("detector", detector_folder))
        )
        gateway = started(
            stack,
            tmp_path,
            "gateway",
            "support.gateway_process",
            archive_dir=tmp_path / "archive",
            database_url=url,
            migrate_at_start=True,
            classifier_url=classifier.client.base_url,
            detector_url=detector.client.base_url,
            # Not only idle clients must be told nothing: a loaded machine reads slowly.
            classifier_timeout_s=120,
            detector_timeout_s=120,
            rendering_idle_s=0,
        )
        for service in (classifier, detector, gateway):
            eventually(service.ready, f"the {service.role} did not become ready")
        yield WholeSystem(gateway, classifier, detector, url, tmp_path / "archive")


def _logged(service: Service, request_id: str) -> bool:
    return request_id in {line.get("request_id") for line in service.lines()}


def test_no_marker_of_a_patient_is_told_by_any_service(system: WholeSystem) -> None:
    study = system.post(marked_radiograph(), 201, **{"X-Request-ID": "trail-1"}).json()["id"]
    for service in (system.gateway, system.classifier, system.detector):
        # The line is written when the answer is on its way.
        eventually(partial(_logged, service, "trail-1"), f"{service.role} logged no such request")
    everything_of(system, study)
    broken_files(system)
    broken_parts(system, study)
    told = everything_told(system)
    assert all(len(words) > 100 for words in told.values()), "something was not collected"
    assert [where for where, words in told.items() if MARK.lower() in words.lower()] == []


def everything_of(system: WholeSystem, study: str) -> None:
    for path in ("", "/image.png", "/overlay.png", "/original"):
        system.ask("GET", f"{STUDIES}/{study}{path}", 200)
    system.ask("POST", f"{STUDIES}/{study}/rerun", 200)
    exported = system.ask("GET", f"{STUDIES}/{study}/deidentified", 200)
    assert MARK.encode() not in exported.content
    system.ask("GET", STUDIES, 200)
    system.ask("GET", STUDIES, 422, params=QUERY | {"status": f"{MARK}STATUS"})
    system.ask("GET", STUDIES, 400, params={"cursor": f"{MARK}CURSOR"})
    system.ask("GET", f"{STUDIES}/{study}/heatmaps/nothing.png", 404)


def broken_files(system: WholeSystem) -> None:
    radiograph = marked_radiograph(SOPInstanceUID="1.2.3")
    system.post(radiograph, 201, **{"Idempotency-Key": f"{MARK}KEY"})
    system.post(marked_radiograph(SOPInstanceUID="1.2.4"), 409, **{"Idempotency-Key": f"{MARK}KEY"})
    system.post(radiograph[: len(radiograph) - 2000], 422)
    system.post(radiograph[:3000], 422)
    system.post(marked_radiograph(BodyPartExamined="LEG"), 201)
    system.post(marked_radiograph(Rows=65535), 422)
    texts = PngInfo()
    texts.add_text("Patient", f"{MARK}TEXT")
    image = encoded(radiograph_like(), pnginfo=texts)
    system.post(image[:-40], 422)
    system.post(f"{MARK}NOTHING".encode() * 100, 415)
    for service, path in ((system.classifier, CLASSIFY_PATH), (system.detector, DETECT_PATH)):
        files = {"image": (f"{MARK}IMAGE.png", image[:-40], "image/png")}
        answer = service.client.post(path, files=files, params=QUERY, headers=HEADERS)
        assert answer.status_code == 422, answer.text
        system.answers.append(answer)


def broken_parts(system: WholeSystem, study: str) -> None:
    system.detector.stop()
    system.post(marked_radiograph(SOPInstanceUID="1.2.5"), 201)
    system.classifier.stop()
    system.post(marked_radiograph(SOPInstanceUID="1.2.6"), 503)
    [original] = system.archive.glob(f"studies/*/{study}/original.dcm")
    original.write_bytes(original.read_bytes()[:3000])
    for image in original.parent.glob("*.png"):
        image.unlink()
    broken = system.gateway.client.get(f"{STUDIES}/{study}/overlay.png", headers=HEADERS)
    assert broken.status_code >= 400
    system.answers.append(broken)
    # The database refuses a statement that carries the whole result: a fault of the program's.
    system.run("ALTER TABLE studies RENAME COLUMN cams_json TO elsewhere")
    system.ask("GET", f"{STUDIES}/{study}", 500)
    system.run("ALTER TABLE studies RENAME COLUMN elsewhere TO cams_json")
    system.run("ALTER TABLE studies ADD CONSTRAINT none_more CHECK (id < '0') NOT VALID")
    system.run("ALTER TABLE idempotency_keys RENAME TO elsewhere")
    system.post(
        marked_radiograph(SOPInstanceUID="1.2.7"), 500, **{"Idempotency-Key": f"{MARK}KEY2"}
    )
    system.ask("DELETE", f"{STUDIES}/{study}", 500)


def everything_told(system: WholeSystem) -> dict[str, str]:
    told = {
        service.role: service.log.read_text()
        for service in (system.gateway, system.classifier, system.detector)
    }
    told["gateway's metrics"] = system.gateway.client.get("/metrics").text
    told["problems"] = "".join(
        answer.text
        for answer in system.answers
        if answer.headers["content-type"] == PROBLEM_MEDIA_TYPE
    )
    engine = create_engine(system.database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM audit_log ORDER BY seq")).mappings().all()
    engine.dispose()
    assert {row["outcome"] for row in rows} >= {200, 201, 400, 409, 415, 422, 500, 503}
    told["audit log"] = json.dumps([dict(row) for row in rows])
    return told
