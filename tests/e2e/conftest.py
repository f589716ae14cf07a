"""The running system: three real processes from the serving environment, which has no PyTorch."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from benchmarks.stack import ROOT, Stack
from support.page_scripts import FRONTEND

# As an operator would name them; frontend/e2e/elsewhere.spec.ts follows them.
VIEWERS = [
    "OHIF=https://pacs.example/viewer?StudyInstanceUIDs={study_uid}",
    "Weasis=weasis://%24dicom%3Ars%20-r%20%22studyUID%3D{study_uid}%22",
]


@pytest.fixture(scope="session")
def one_detector() -> dict[str, str]:
    """A published detector of one network instead of the four of the default one.

    For tests that ask the page or the processes something, and not the model.
    """
    return {"CXR_DETECTOR_MODEL_DIR": str(ROOT / "models/detector/yolov5n-both")}


@pytest.fixture(scope="session")
def sample() -> Path:
    """The public CR radiograph."""
    path = get_testdata_file("RG1_UNCI.dcm", download=False)
    assert isinstance(path, str)
    return Path(path)


@pytest.fixture(scope="session")
def page_dir() -> Path:
    """The built page, with the examples that the published generator made."""
    assert (FRONTEND / "dist/index.html").exists(), "run `make setup` first: no built page"
    return FRONTEND / "dist"


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, page_dir: Path, one_detector: dict[str, str]
) -> Iterator[Stack]:
    """A fresh system over an empty archive, for all tests of a module."""
    environment = {
        "CXR_GATEWAY_CLASSIFIER_TIMEOUT_S": "5",
        "CXR_GATEWAY_DETECTOR_TIMEOUT_S": "5",
        "CXR_GATEWAY_PAGE_DIR": str(page_dir),
        "CXR_GATEWAY_VIEWER_LINKS": json.dumps(VIEWERS),
        **one_detector,
    }
    with Stack(tmp_path_factory.mktemp("stack"), environment) as running:
        yield running


@pytest.fixture(scope="module")
def remote_control(stack: Stack) -> Iterator[str]:
    """An address whose `POST /stop/NAME` and `/start/NAME` kill and start a service.

    The browser tests run in another process and need a way to reach the services.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, action, name = self.path.split("/")
            {"stop": stack.kill, "start": stack.start}[action](name)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet; a failure reaches the caller as a broken connection."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
