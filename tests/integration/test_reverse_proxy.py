"""The reverse proxy as it is configured, run by a real nginx in front of an app that shows it."""

import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cxr_gateway.app import create_app
from support.fake_gateway import RuleOodDetector, settings_for
from support.nginx import Proxy, needs_nginx, proxy_to
from support.served_app import served
from support.waiting import free_port

pytestmark = needs_nginx
BIG_BYTES = 30_000_000


async def echo(request: Request) -> Response:
    """What has come: headers, and of a body how much."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return JSONResponse({"headers": dict(request.headers), "bytes": size})


async def big(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BIG_BYTES // 100_000):
            yield b"x" * 100_000

    return StreamingResponse(chunks())


APP = Starlette(
    routes=[
        Route("/api/v1/echo", echo, methods=["GET", "POST"]),
        Route("/api/v1/big", big),
    ]
)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    with served(APP, lifespan="off") as port:
        yield from proxy_to(f"127.0.0.1:{port}", folder)


@pytest.fixture
def without_gateway(tmp_path: Path) -> Iterator[Proxy]:
    yield from proxy_to(f"127.0.0.1:{free_port()}", tmp_path)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("5d0c-a.b_1", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("Smith John", False),
        ("Smith^John", False),
        ('","forged":"', False),
        ("", False),
    ],
)
def test_a_request_id_from_outside_is_checked_before_it_is_logged(
    proxy: Proxy, sent: str, kept: bool
) -> None:
    answer = proxy.client.get("/api/v1/echo", headers={"X-Request-ID": sent})
    passed_on = answer.json()["headers"]["x-request-id"]
    logged = proxy.logged(200, passed_on)["request_id"]
    assert (passed_on == sent) == (logged == sent) == kept
    assert passed_on == logged
    assert len(logged) > 0


def test_the_address_is_that_of_who_asks_whatever_they_write(proxy: Proxy) -> None:
    answer = proxy.client.get("/api/v1/echo", headers={"X-Forwarded-For": "6.6.6.6, 7.7.7.7"})
    # The gateway believes the last entry, which is nginx's own (`trusted_proxies` 1).
    assert answer.json()["headers"]["x-forwarded-for"] == "6.6.6.6, 7.7.7.7, 127.0.0.1"


def test_no_log_keeps_a_query_or_a_path_even_where_the_gateway_is_away(
    without_gateway: Proxy,
) -> None:
    for path in ("/api/v1/studies?patient=Smith", "/readyz?patient=Smith"):
        answer = without_gateway.client.get(path)
        assert answer.status_code == 503
    refused = without_gateway.client.get("/api/v1/" + "Smith" * 4000)
    assert refused.status_code == 414
    for status in (503, 414):
        without_gateway.logged(status)
    text = (without_gateway.folder / "access.log").read_text() + without_gateway.errors()
    assert "Smith" not in text


def test_a_slow_reader_and_a_slow_sender_put_nothing_into_tmp(proxy: Proxy) -> None:
    with (
        closing(socket.create_connection(("127.0.0.1", proxy.port))) as reader,
        closing(socket.create_connection(("127.0.0.1", proxy.port))) as sender,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        reader.sendall(b"GET /api/v1/big HTTP/1.1\r\nHost: a\r\n\r\n")
        head = b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\n\r\n"
        sender.sendall(head + b"x" * 5_000_000)
        time.sleep(1)
        assert reader.recv(10).startswith(b"HTTP/1.1 2")
        assert proxy.on_disk() == 0
    answer = proxy.client.post("/api/v1/echo", content=b"x" * 2_000_000)
    assert answer.json()["bytes"] == 2_000_000


def test_events_pass_as_they_happen(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", event_stream_max_s=30, event_heartbeat_s=0.5)
    app = create_app(settings, ood=RuleOodDetector())
    with (
        served(app) as port,
        contextmanager(proxy_to)(f"127.0.0.1:{port}", tmp_path / "nginx") as front,
    ):
        begun = time.monotonic()
        with front.client.stream("GET", "/api/v1/events") as stream:
            lines = stream.iter_lines()
            first = next(line for line in lines if line.startswith("id: "))
            beats = [line for line, _ in zip(lines, range(6), strict=False) if line.startswith(":")]
        assert first == f"id: {front.client.get('/api/v1/changes').json()['next_cursor']}"
        assert beats
        assert time.monotonic() - begun < 15


def test_what_is_too_large_is_refused_with_a_problem(proxy: Proxy) -> None:
    with closing(socket.create_connection(("127.0.0.1", proxy.port))) as stream:
        stream.sendall(b"POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 62914560\r\n\r\n")
        assert b" 413 " in stream.recv(4096).split(b"\r\n")[0]
