"""The running system: three real processes from the serving environment, which has no PyTorch."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from benchmarks.stack import Stack
from cxr_gan.examples.films import SHOWN_FIRST, write_examples
from cxr_gan.published import open_generator
from gan_runs import write_published
from page_scripts import FRONTEND


@pytest.fixture(scope="session")
def sample() -> Path:
    """The public CR radiograph."""
    path = get_testdata_file("RG1_UNCI.dcm", download=False)
    assert isinstance(path, str)
    return Path(path)


@pytest.fixture(scope="session")
def page_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page; its examples are a generator's with random weights, whatever it has now."""
    assert (FRONTEND / "dist/index.html").exists(), "run `make setup` first: no built page"
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(FRONTEND / "dist", folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "examples", ignore_errors=True)
    generator = write_published(tmp_path_factory.mktemp("models") / "tiny", labels=SHOWN_FIRST)
    write_examples(open_generator(generator), folder / "examples")
    return folder


@pytest.fixture
def stack(tmp_path: Path, page_dir: Path) -> Iterator[Stack]:
    """A fresh system over an empty archive."""
    environment = {
        "CXR_GATEWAY_CLASSIFIER_TIMEOUT_S": "5",
        "CXR_GATEWAY_DETECTOR_TIMEOUT_S": "5",
        "CXR_GATEWAY_PAGE_DIR": str(page_dir),
    }
    with Stack(tmp_path, environment) as running:
        yield running


@pytest.fixture
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
