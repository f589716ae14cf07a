"""A container's health check: what it prints, and its exit code."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cxr_serving.probe import main

READY = {"status": "ready"}
LOADING = {"status": 503, "detail": "The model is being loaded."}


class Handler(BaseHTTPRequestHandler):
    """Responds by path."""

    def do_GET(self) -> None:
        status, body = {
            "/readyz": (200, json.dumps(READY)),
            "/loading": (503, json.dumps(LOADING)),
            "/text": (500, "no JSON"),
        }[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/readyz", 0, "ready\n"),
        ("/loading", 1, "The model is being loaded.\n"),
        ("/text", 1, "status 500\n"),
    ],
)
def test_the_services_own_words_are_printed(
    url: str, capsys: pytest.CaptureFixture[str], path: str, code: int, said: str
) -> None:
    assert main([url + path]) == code
    assert capsys.readouterr().out == said


def test_a_port_where_nobody_listens_is_unhealthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http://127.0.0.1:1/readyz"]) == 1
    assert "Connection refused" in capsys.readouterr().out


def test_without_an_address_it_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
