"""A gateway for tests: the real app, services that are real ASGI apps, a rule for an OOD detector.

async with standing_gateway(settings, services=FakeServices()) as stand:
    answer = await stand.post(png())
"""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cxr_contracts import (
    CLASSIFY_PATH,
    DETECT_PATH,
    PROBLEM_MEDIA_TYPE,
    Finding,
    ModelManifest,
    Problem,
    Region,
    level_of,
)
from cxr_gateway.access.oidc import ProviderOpener, open_provider
from cxr_gateway.app import create_app
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import InferenceClients, open_clients
from cxr_gateway.ood import OodScore
from support.databases import give_schema

CLASSIFIER_URL = "http://classifier.test"
DETECTOR_URL = "http://detector.test"
SHA = "ab" * 32
# A folder without a manifest: the levels decide.
NO_TRIAGE_MODELS = Path(__file__).parent
Answer = Callable[[Request], Awaitable[Response]]


def probabilities(**given: float) -> list[dict[str, Any]]:
    """Fourteen findings, possible from 0.3 and likely from 0.6 on; at 0.05 but those `given`."""
    rows = []
    for finding in Finding:
        probability = given.get(finding.name.lower(), 0.05)
        rows.append(
            {
                "finding": finding.value,
                "probability": probability,
                "level": level_of(probability, 0.3, 0.6).value,
                "possible_threshold": 0.3,
                "likely_threshold": 0.6,
            }
        )
    return sorted(rows, key=lambda row: -float(str(row["probability"])))


@dataclass
class FakeService:
    """One service as an ASGI app. `answer` replaces its response; `asked` counts requests."""

    role: str
    answer: Answer | None = None
    sha256: str = SHA
    ready: bool = True
    asked: int = 0
    findings: list[dict[str, Any]] = field(default_factory=lambda: probabilities(mass=0.7))
    boxes: list[dict[str, Any]] = field(
        default_factory=lambda: [box(Region.MASS, 0.6, 10, 20, 40, 50)]
    )
    info: dict[str, Any] = field(default_factory=dict)  # more of `/info`
    queries: list[str] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)

    def app(self) -> ASGIApp:
        """The service."""
        path = CLASSIFY_PATH if self.role == "classifier" else DETECT_PATH
        return Starlette(
            routes=[
                Route(path, self._read, methods=["POST"]),
                Route("/readyz", self._readyz),
                Route("/info", self._info),
            ]
        )

    async def _read(self, request: Request) -> Response:
        self.asked += 1
        self.request_ids.append(request.headers.get("x-request-id"))
        self.queries.append(request.url.query)
        if self.answer is not None:
            return await self.answer(request)
        return await self.usual(request)

    async def usual(self, request: Request) -> Response:
        """The answer of a healthy service."""
        async with request.form() as form:
            upload = form["image"]
            assert not isinstance(upload, str)
            content = await upload.read()
        self.received.append(content)
        return JSONResponse(self.body(*Image.open(io.BytesIO(content)).size, request))

    def body(self, width: int, height: int, request: Request) -> dict[str, Any]:
        """What a healthy service says of an image of this size."""
        model = self.model()
        if self.role == "detector":
            size = {"width": width, "height": height}
            return {"model": model, "image": size, "boxes": self.boxes}
        explained = self.findings[: int(request.query_params.get("explain", 0))]
        cams = [{"finding": row["finding"], "values": [[-1, 2], [0, 3]]} for row in explained]
        # A field that this client does not know yet must not disturb it.
        return {"model": model, "findings": self.findings, "cams": cams, "added_later": 1}

    def model(self) -> dict[str, str]:
        """How it names its model."""
        return {"name": f"{self.role}-stand", "version": "1", "sha256": self.sha256}

    async def _readyz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ready"}, 200 if self.ready else 503)

    async def _info(self, _request: Request) -> Response:
        labels = list(Region) if self.role == "detector" else list(Finding)
        return JSONResponse(
            {
                "role": self.role,
                "service_version": "1",
                "model": self.model(),
                "labels": labels,
                "runtime": "fake",
                "device": "cpu",
                "max_batch_size": 1,
                "max_queue_length": 1,
                **self.info,
            }
        )


def box(
    finding: Region,
    score: float,
    *corners: float,
    above_threshold: bool = True,
    probability: float | None = None,
) -> dict[str, Any]:
    """A box as the detector sends it; corners are x_min, y_min, x_max, y_max."""
    names = ("x_min", "y_min", "x_max", "y_max")
    place = dict(zip(names, corners, strict=True))
    said = {"score": score, "probability": probability, "above_threshold": above_threshold}
    return {"finding": finding.value, **said, **place}


class Unreachable(httpx.AsyncBaseTransport):
    """A service whose port nobody listens on; counts the attempts."""

    def __init__(self) -> None:
        self.attempts = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Fail as a refused connection does."""
        self.attempts += 1
        raise httpx.ConnectError("connection refused", request=request)


async def never(_request: Request) -> Response:
    """A service that hangs."""
    await asyncio.sleep(3600)
    raise AssertionError("a client waited for an hour")


@dataclass
class RuleOodDetector:
    """Accepts an image by its mean brightness: an out-of-distribution image is nearly white."""

    manifest: ModelManifest = field(
        default_factory=lambda: ModelManifest.model_construct(
            name="rule-ood",
            version="1",
            weights=type("File", (), {"sha256": SHA})(),
        )
    )

    def check(self, grey: NDArray[np.uint8]) -> OodScore:
        """Score uint8 [H, W]."""
        score = 1.0 - float(grey.mean()) / 255
        accepted = score >= 0.1
        return OodScore(accepted, score, 0.1, None if accepted else "The image is blank.")


@dataclass
class RunningGateway:
    """A running gateway and its services."""

    app: FastAPI
    client: httpx.AsyncClient
    classifier: FakeService
    detector: FakeService
    archive_dir: Path

    async def post(self, content: bytes, name: str = "chest.png", **headers: str) -> httpx.Response:
        """Upload a file."""
        files = {"file": (name, content, "application/octet-stream")}
        return await self.client.post("/api/v1/studies", files=files, headers=headers)

    def files(self) -> list[str]:
        """Every file in the archive but the database and the lock."""
        found = (path for path in self.archive_dir.rglob("*") if path.is_file())
        names = (path.relative_to(self.archive_dir).as_posix() for path in found)
        return sorted(name for name in names if name.startswith(("studies/", "incoming/")))


def settings_for(
    archive_dir: Path, database_url: str | None = None, **more: Any
) -> GatewaySettings:
    """Settings of a gateway over `archive_dir` whose services are the fakes."""
    values: dict[str, Any] = {
        "archive_dir": archive_dir,
        "database_url": database_url,
        "migrate_at_start": True,
        "classifier_url": CLASSIFIER_URL,
        "detector_url": DETECTOR_URL,
        "page_dir": archive_dir / "no-page",
        "triage_dir": NO_TRIAGE_MODELS,
        "inference_probe_ttl_s": 0,
        "rendering_idle_s": 3600,
        # Whoever asks for everything asks for these, too, and waits for the end.
        "event_stream_max_s": 0.1,
    }
    return GatewaySettings(**(values | more))


@asynccontextmanager
async def running_gateway(
    settings: GatewaySettings,
    *,
    classifier: FakeService | None = None,
    detector: FakeService | None = None,
    transports: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    provider: ProviderOpener = open_provider,
) -> AsyncIterator[RunningGateway]:
    """The gateway's app with its lifespan run, and a client on it."""
    classifier = classifier or FakeService("classifier")
    detector = detector or FakeService("detector")
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(classifier.app()),
        DETECTOR_URL: httpx.ASGITransport(detector.app()),
    }
    mounts.update(transports or {})
    give_schema(settings)
    app = create_app(
        settings, ood=RuleOodDetector(), clients=services_over(mounts), provider=provider
    )
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield RunningGateway(app, client, classifier, detector, settings.archive_dir)


def client_of(app: FastAPI, **headers: str) -> httpx.AsyncClient:
    """A client of a running app that sends these headers, and keeps cookies of its own."""
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=30, headers=headers
    )


def services_over(
    mounts: Mapping[str, httpx.AsyncBaseTransport],
) -> Callable[[GatewaySettings], AbstractAsyncContextManager[InferenceClients]]:
    """An opener of the real clients on these transports; any other address fails."""

    def opener(settings: GatewaySettings) -> AbstractAsyncContextManager[InferenceClients]:
        http = httpx.AsyncClient(transport=Unreachable(), mounts=mounts, trust_env=False)
        return open_clients(settings, http)

    return opener


def refused(response: httpx.Response, status: int) -> Problem:
    """The problem body of an answer that must be refused with `status`."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status
    if status == 503:
        # docs/api.md promises it.
        assert int(response.headers["retry-after"]) > 0
    return problem
