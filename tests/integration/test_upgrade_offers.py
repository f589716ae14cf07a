"""A client that offers HTTP/2 in passing, as Java's does, keeps its body: on a real socket."""

import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse

import pytest

from support.images import png
from support.live_gateway import STUDIES, Gateway, Starter, services, start

__all__ = ["services", "start"]

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
ASK = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + OFFER + b"\r\n"


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start()


@pytest.fixture
def line(gateway: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        yield connection


def upload(seed: int, offer: bytes = OFFER) -> bytes:
    body = png(seed=seed)
    head = f"POST {STUDIES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    length = f"Content-Length: {len(body)}\r\n".encode()
    return head.encode() + offer + length + b"\r\n" + body


def answered(line: socket.socket, method: str = "POST") -> tuple[int, str | None]:
    """The status of the next answer, read to its end, and what it upgrades to."""
    with closing(HTTPResponse(line, method=method)) as response:
        response.begin()
        response.read()
        return response.status, response.getheader("upgrade")


def test_a_body_arrives_whatever_is_offered_with_it(gateway: Gateway, line: socket.socket) -> None:
    for seed, offer in enumerate(
        [OFFER, OFFER.replace(b"h2c", b"websocket"), OFFER.replace(b"Upgrade:", b"upgrade:"), b""]
    ):
        line.sendall(upload(seed, offer))
        # Nothing is agreed to, and the connection goes on in HTTP/1.1.
        assert answered(line) == (201, None)
    assert gateway.total() == 4


def test_a_body_in_pieces_arrives(gateway: Gateway, line: socket.socket) -> None:
    sent = upload(1)
    for at in range(0, 400):
        line.sendall(sent[at : at + 1])
    for at in range(400, len(sent), 1000):
        line.sendall(sent[at : at + 1000])
    assert answered(line) == (201, None)
    assert gateway.total() == 1


def test_a_chunked_body_arrives(line: socket.socket) -> None:
    body = png()
    head = upload(0).partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    line.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert answered(line) == (201, None)


def test_many_requests_at_once_are_answered_in_turn(line: socket.socket) -> None:
    line.sendall(ASK * 500)
    read = b""
    while read.count(b"HTTP/1.1 200") < 500:
        piece = line.recv(1 << 16)
        assert piece, f"{read.count(b'HTTP/1.1 200')} of 500 were answered"
        read += piece


def test_what_is_no_request_is_refused(line: socket.socket) -> None:
    line.sendall(ASK)
    assert answered(line, "GET") == (200, None)
    line.sendall(b"\0\0\0" + ASK)
    assert answered(line, "GET")[0] == 400


def test_a_tunnel_is_refused(line: socket.socket) -> None:
    line.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n" + OFFER + b"\r\n")
    assert answered(line)[0] >= 400
