"""Clients that send slowly, against a gateway as a process: they hold up nobody but themselves."""

import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cxr_gateway.archive.api_keys import open_keys
from cxr_gateway.core.principal import Role
from support.databases import security_database_url
from support.fake_gateway import settings_for
from support.live_gateway import STUDIES, Gateway, Starter, services, start
from support.nginx import needs_nginx, proxy_to
from support.uploading import radiograph_of

__all__ = ["security_database_url", "services", "start"]
CLOSED = {"CXR_GATEWAY_ACCESS": "closed", "CXR_GATEWAY_TRUSTED_PROXIES": 1}
SLOW = 32
# Of this machine, so that nginx sees two clients.
HOSTILE, OTHER = "127.0.0.6", "127.0.0.7"


@dataclass
class ClosedGateway:
    """A gateway with keys, and where its clients come in: by a real nginx, or at its own port."""

    gateway: Gateway
    database_url: str | None
    port: int

    def key(self, department: str) -> str:
        with open_keys(settings_for(self.gateway.archive, self.database_url)) as keys:
            return keys.create("a system", frozenset({Role.INTEGRATOR}), department, None)[1]


Opened = Callable[..., ClosedGateway]


@pytest.fixture(params=["its own port", pytest.param("nginx", marks=needs_nginx)])
def opened(
    request: pytest.FixtureRequest,
    start: Starter,
    security_database_url: str | None,
    tmp_path: Path,
) -> Iterator[Opened]:
    """Starts a closed gateway, with further settings, and what stands before it."""
    with ExitStack() as stack:

        def open_one(**more: object) -> ClosedGateway:
            database = {"CXR_GATEWAY_DATABASE_URL": security_database_url}
            chosen = database if security_database_url else {}
            gateway = start(**CLOSED, **chosen, **more)
            port = gateway.port
            if request.param == "nginx":
                front = contextmanager(proxy_to)(f"127.0.0.1:{port}", tmp_path / "nginx")
                port = stack.enter_context(front).port
            return ClosedGateway(gateway, security_database_url, port)

        yield open_one


def begun(closed: ClosedGateway, key: str, address: str) -> socket.socket:
    """A connection from an address of this machine on which an upload has begun and stands."""
    head = (
        f"POST {STUDIES} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"X-Forwarded-For: {address}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        "Content-Length: 1000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    )
    stream = socket.create_connection(("127.0.0.1", closed.port), 30, source_address=(address, 0))
    stream.sendall(head.encode() + b"\x89PNG")
    return stream


def status_of(stream: socket.socket, wait_s: float) -> int | None:
    """The status that a connection is answered with; None for none so far."""
    stream.settimeout(wait_s)
    try:
        answer = stream.recv(4096)
    except TimeoutError:
        return None
    return int(answer.split(b" ", 2)[1])


@contextmanager
def slow_ones(closed: ClosedGateway, key: str, count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(begun(closed, key, HOSTILE)) for _ in range(count)]


def seconds_of_uploads(closed: ClosedGateway, key: str, first: int, count: int = 7) -> list[float]:
    took = []
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": OTHER}
    url = f"http://127.0.0.1:{closed.port}"
    way = httpx.HTTPTransport(local_address=OTHER)
    with httpx.Client(base_url=url, headers=headers, timeout=60, transport=way) as client:
        for number in range(first, first + count):
            started = time.monotonic()
            answer = client.post(STUDIES, files={"file": ("a", radiograph_of(number * 4))})
            assert answer.status_code == 201, answer.text
            took.append(time.monotonic() - started)
    return took


def test_32_slow_connections_of_one_key_leave_another_department_its_latency(
    opened: Opened,
) -> None:
    closed = opened(CXR_GATEWAY_MAX_STUDIES_IN_FLIGHT=8)
    hostile, other = closed.key("elsewhere"), closed.key("radiology")
    seconds_of_uploads(closed, other, 0, 2)  # warm
    before = seconds_of_uploads(closed, other, 10)
    with slow_ones(closed, hostile, SLOW) as streams:
        statuses = [status_of(stream, 0.5) for stream in streams]
        # As many as one key may have are being received; the rest are told so at once.
        assert statuses.count(None) == 16
        assert statuses.count(429) == SLOW - 16
        during = seconds_of_uploads(closed, other, 20)
    usual, beside = statistics.median(before), statistics.median(during)
    print(f"median {usual:.3f} s alone, {beside:.3f} s beside {SLOW} slow connections")
    assert beside < 2 * usual + 0.25


def test_an_upload_that_drips_or_stands_still_is_ended_and_leaves_nothing(opened: Opened) -> None:
    closed = opened(CXR_GATEWAY_UPLOAD_MAX_S=2)
    key = closed.key("radiology")
    with begun(closed, key, HOSTILE) as stream:
        deadline = time.monotonic() + 15
        status = None
        while status is None and time.monotonic() < deadline:
            stream.sendall(b"x")
            status = status_of(stream, 0.2)
    assert status == 408
    assert closed.gateway.files() == []


@pytest.mark.parametrize(("principals", "addresses"), [(4, 1), (1, 1)])
def test_shares_of_keys_and_addresses_are_given_back(
    opened: Opened, principals: int, addresses: int
) -> None:
    closed = opened(
        CXR_GATEWAY_MAX_UPLOADS_PER_PRINCIPAL=2,
        CXR_GATEWAY_MAX_UPLOADS_PER_ADDRESS=3,
    )
    keys = [closed.key(f"department {number}") for number in range(principals)]
    most = 3 if principals > 1 else 2
    for _ in range(2):
        with ExitStack() as stack:
            streams = [
                stack.enter_context(begun(closed, keys[number % principals], HOSTILE))
                for number in range(6)
            ]
            statuses = [status_of(stream, 0.5) for stream in streams]
            assert statuses.count(None) == most
            assert statuses.count(429) == 6 - most
        time.sleep(0.5)  # until the gateway has seen that they are gone
