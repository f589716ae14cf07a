"""Destinations that are no AE: a DICOMweb service, a FHIR server, an HL7 v2 system."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.served_app import served


@dataclass
class WebReceiver:
    """STOW-RS, QIDO-RS and a FHIR transaction, answered as a test says.

    `answers` are given before success, each once: a status and a body. While `forgets`, a search
    finds nothing.
    """

    url: str = ""
    stored: list[Dataset] = field(default_factory=list)
    bundles: list[dict[str, Any]] = field(default_factory=list)
    media_types: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    forgets: bool = False

    def app(self) -> Starlette:
        """The app."""
        return Starlette(
            routes=[
                Route("/dicom-web/studies", self._store, methods=["POST"]),
                Route("/dicom-web/instances", self._search),
                Route("/fhir/", self._transact, methods=["POST"]),
            ]
        )

    async def _store(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("authorization"))
        content = await request.body()
        if self.answers:
            status, body = self.answers.pop(0)
            return JSONResponse(body, status)
        kind = request.headers["content-type"]
        assert kind.startswith('multipart/related; type="application/dicom"')
        boundary = b"--" + kind.partition("boundary=")[2].encode()
        parts = content.split(boundary)
        assert (parts[0], parts[-1]) == (b"", b"--\r\n")
        for part in parts[1:-1]:
            body = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            self.stored.append(pydicom.dcmread(BytesIO(body)))
        return JSONResponse({"00081199": {"vr": "SQ", "Value": [{}]}})

    async def _search(self, request: Request) -> Response:
        uid = request.query_params["SOPInstanceUID"]
        if self.forgets or uid not in [one.SOPInstanceUID for one in self.stored]:
            return Response(status_code=204)
        return JSONResponse([{"00080018": {"vr": "UI", "Value": [uid]}}])

    async def _transact(self, request: Request) -> Response:
        self.media_types.append(request.headers["content-type"])
        content = await request.body()
        if self.answers:
            status, body = self.answers.pop(0)
            return JSONResponse(body, status)
        self.bundles.append(json.loads(content))
        return JSONResponse({"resourceType": "Bundle", "type": "transaction-response"})


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    """Served until the end of the test."""
    receiver = WebReceiver()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(served(receiver.app(), lifespan="off"))
        receiver.url = f"http://127.0.0.1:{port}"
        yield receiver


@dataclass
class Hl7Receiver:
    """An HL7 v2 system; `codes` are answered before AA, each once."""

    port: int = 0
    messages: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def answer(self, message: str) -> str:
        """What it says to a message."""
        control = message.split("\r", maxsplit=1)[0].split("|")[9]
        code = self.codes.pop(0) if self.codes else "AA"
        if code == "AA":
            self.messages.append(message)
        return f"MSH|^~\\&|RIS|||||||ACK|1|P|2.5.1\rMSA|{code}|{control}|told\r"


@pytest.fixture
def hl7_system() -> Iterator[Hl7Receiver]:
    """Served until the end of the test."""
    receiver = Hl7Receiver()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            buffer = b""
            while piece := self.request.recv(65_536):
                buffer += piece
                while b"\x1c\r" in buffer:
                    message, _, buffer = buffer.partition(b"\x1c\r")
                    answer = receiver.answer(message.removeprefix(b"\x0b").decode())
                    self.request.sendall(b"\x0b" + answer.encode() + b"\x1c\r")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = int(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()
