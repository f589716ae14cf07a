"""A service with more work than it can do: it refuses at once, and says when to come back."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from cxr_classifier.app import create_app
from cxr_classifier.predictor import ClassifierPredictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, Problem
from cxr_serving.model_folder import open_model_folder
from cxr_serving.runtime import FloatArray
from support.images import png


class HeldRuntime:
    """A network that stands still in the middle of a run until it is let go."""

    name: Literal["onnxruntime"] = "onnxruntime"
    device = "cpu"

    def __init__(self) -> None:
        self.running = threading.Event()
        self.let_go = threading.Event()
        self.images_seen = 0
        self.fail = False

    def run(self, images: FloatArray) -> tuple[FloatArray, ...]:
        self.images_seen += len(images)
        self.running.set()
        assert self.let_go.wait(20)
        cams = np.zeros((len(images), 14, 3, 3), np.float32)
        if self.fail:
            cams[:] = np.nan
        return cams.mean(axis=(2, 3)), cams


@pytest.fixture
def runtime() -> Iterator[HeldRuntime]:
    runtime = HeldRuntime()
    yield runtime
    runtime.let_go.set()


@pytest.fixture
def app(runtime: HeldRuntime, classifier_folder: Path) -> FastAPI:
    manifest = open_model_folder(classifier_folder, "classifier").manifest
    settings = ClassifierSettings(max_batch_size=1, max_queue_length=2)
    return create_app(settings, ClassifierPredictor(manifest, runtime))


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://service", timeout=30
    )


async def test_a_full_service_answers_503_with_retry_after_and_recovers(
    app: FastAPI, runtime: HeldRuntime
) -> None:
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert await app.state.service.loaded()

        async def ask() -> httpx.Response:
            return await client.post(CLASSIFY_PATH, files={"image": png()})

        inside = [asyncio.create_task(ask())]
        assert await asyncio.to_thread(runtime.running.wait, 10)
        # Only now: three at once could meet in the queue, which holds two.
        inside += [asyncio.create_task(ask()) for _ in range(2)]
        await _wait_for_queue(client, 2)
        refused = await asyncio.gather(*(ask() for _ in range(20)))
        assert {response.status_code for response in refused} == {503}
        assert all(int(response.headers["Retry-After"]) >= 1 for response in refused)
        assert {Problem.model_validate_json(response.content).type for response in refused} == {
            "urn:cxr:problem:overloaded"
        }
        # The probes respond all the while.
        assert (await client.get("/readyz")).status_code == 200
        runtime.let_go.set()
        assert {(await response).status_code for response in inside} == {200}
        assert (await ask()).status_code == 200


async def test_an_answer_that_is_not_finite_is_an_error_and_no_answer(
    app: FastAPI, runtime: HeldRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    runtime.fail = True
    runtime.let_go.set()
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert await app.state.service.loaded()
        response = await client.post(CLASSIFY_PATH, files={"image": png()})
        assert response.status_code == 500
        assert "not finite" in caplog.text
        runtime.fail = False
        assert (await client.post(CLASSIFY_PATH, files={"image": png()})).status_code == 200


async def test_a_client_that_goes_away_gives_up_its_place_in_the_queue(
    app: FastAPI, runtime: HeldRuntime
) -> None:
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert await app.state.service.loaded()
        first = asyncio.create_task(client.post(CLASSIFY_PATH, files={"image": png()}))
        assert await asyncio.to_thread(runtime.running.wait, 10)
        await _ask_and_leave(app, client)
        runtime.let_go.set()
        assert (await first).status_code == 200
        assert (await client.post(CLASSIFY_PATH, files={"image": png()})).status_code == 200
    assert runtime.images_seen == 2


async def _wait_for_queue(client: httpx.AsyncClient, length: int) -> None:
    """Return when `length` images wait for the model, by the service's own metric."""
    async with asyncio.timeout(10):
        while f"cxr_batch_queue_length {length:.1f}" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def _ask_and_leave(app: FastAPI, client: httpx.AsyncClient) -> None:
    """Send a whole request and close the connection before the response, as ASGI servers do."""
    request = client.build_request("POST", CLASSIFY_PATH, files={"image": png()})
    body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: object) -> None:
        raise AssertionError(f"answered a client that has gone: {message}")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": CLASSIFY_PATH,
        "raw_path": CLASSIFY_PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": ("service", 80),
        "state": {},
    }
    await app(scope, receive, send)
