"""The gateway's API as the node uses it, answering as a test says."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.served_app import served


def study(number: int, **more: Any) -> dict[str, Any]:
    """A gateway's answer, as far as the node reads it."""
    return {
        "id": f"{number:026d}",
        "status": "complete",
        "triage": {"priority": "routine", "reason": "-"},
        "boxes": [],
        "patient": {"patient_id": "P1", "study_instance_uid": "1.2.3"},
        **more,
    }


@dataclass
class FakeGateway:
    """The part of the gateway's API that the node uses; keeps what it was sent.

    `answers` are given before the usual one, each once: a status with the fields of a study, or of
    a problem.
    """

    url: str = ""
    received: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    always: tuple[int, dict[str, Any]] | None = None
    exports: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    delay_s: float = 0.0

    def app(self) -> Starlette:
        """The app."""
        return Starlette(
            routes=[
                Route("/api/v1/studies", self._create, methods=["POST"]),
                Route("/api/v1/studies/{study}", self._study),
                Route("/api/v1/studies/{study}/{name:path}", self._export),
                Route("/fhir/R4/DiagnosticReport/{study}/{name}", self._export),
            ]
        )

    async def _create(self, request: Request) -> Response:
        self.keys.append(request.headers.get("authorization"))
        async with request.form(max_part_size=1 << 30) as form:
            upload = form["file"]
            assert not isinstance(upload, str)
            self.received.append(await upload.read())
        if self.delay_s:
            time.sleep(self.delay_s)
        status, body = self.always or (self.answers.pop(0) if self.answers else (201, {}))
        if status >= 400:
            return JSONResponse({"detail": "No.", **body}, status)
        return JSONResponse(study(len(set(self.received)), **body), status)

    async def _study(self, request: Request) -> Response:
        return JSONResponse({**study(1), "id": request.path_params["study"]})

    async def _export(self, request: Request) -> Response:
        path = str(request.url)
        self.asked.append(path.partition("/studies/")[2] or path.partition("/fhir/")[2])
        self.accepted.append(request.headers.get("accept", ""))
        content = self.exports.get(request.path_params["name"])
        if content is None:
            return JSONResponse({"detail": "There is no such result."}, 404)
        return Response(content, media_type="application/dicom")


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """Served until the end of the test."""
    gateway = FakeGateway()
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(served(gateway.app(), lifespan="off"))
        gateway.url = f"http://127.0.0.1:{port}"
        yield gateway
