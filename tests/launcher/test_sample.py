"""The launcher at a gateway that asks for a sign-in."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cxr_launcher.sample import Refused, analyse_sample
from cxr_launcher.settings import Service


@pytest.fixture
def closed_port() -> Iterator[int]:
    class Closed(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Closed)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_closed_gateway_is_no_failure_of_the_start(closed_port: int) -> None:
    with pytest.raises(Refused):
        analyse_sample(Service("gateway", "cxr_gateway", closed_port, {}))
