"""Services that are down, slow, full or talk rubbish, as the gateway's real clients see them."""

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from cxr_contracts import Finding, Region
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import EncodedImage, InferenceClients, open_clients
from cxr_gateway.inference.failures import FailureKind, InferenceFailure
from cxr_gateway.inference.image_encoding import stored_png
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    Answer,
    FakeService,
    Unreachable,
    box,
    never,
    probabilities,
    running_gateway,
    services_over,
    settings_for,
)
from support.images import png, radiograph_like

IMAGE = EncodedImage(stored_png(radiograph_like(120, 100)), "image/png", 120, 100)
QUICK: dict[str, Any] = {
    "classifier_timeout_s": 0.4,
    "detector_timeout_s": 0.4,
    "inference_probe_timeout_s": 0.3,
}


def problem(status: int, kind: str) -> Response:
    body = {"type": f"urn:cxr:problem:{kind}", "title": "T", "status": status, "detail": "Why."}
    return JSONResponse(body, status, media_type="application/problem+json")


def fixed(response: Response) -> Answer:
    async def answer(_request: Request) -> Response:
        return response

    return answer


def altered(gateway: FakeService, change: Callable[[dict[str, Any]], object]) -> Answer:
    async def answer(request: Request) -> Response:
        body = gateway.body(120, 100, request)
        change(body)
        return Response(json.dumps(body), media_type="application/json")

    return answer


@asynccontextmanager
async def services_with(
    classifier: FakeService, detector: FakeService, tmp_path: Path, **settings: Any
) -> AsyncIterator[InferenceClients]:
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(classifier.app()),
        DETECTOR_URL: httpx.ASGITransport(detector.app()),
    }
    async with services_over(mounts)(settings_for(tmp_path, **(QUICK | settings))) as services:
        yield services


async def failure_of(call: Awaitable[object]) -> InferenceFailure:
    with pytest.raises(InferenceFailure) as caught:
        await call
    return caught.value


REFUSALS = [
    (problem(500, "internal"), FailureKind.ERROR, "status 500: Why."),
    (HTMLResponse("<h1>Oops</h1>", 500), FailureKind.ERROR, "status 500"),
    (problem(422, "unprocessable"), FailureKind.ERROR, "status 422: Why."),
    (problem(503, "overloaded"), FailureKind.OVERLOADED, "status 503: Why."),
    (problem(503, "unavailable"), FailureKind.ERROR, "status 503: Why."),
    (Response(status_code=503), FailureKind.OVERLOADED, "status 503"),
    (problem(429, "anything"), FailureKind.OVERLOADED, "status 429: Why."),
    (RedirectResponse("http://elsewhere.test/"), FailureKind.ERROR, "status 307"),
    (HTMLResponse("<h1>Hello</h1>"), FailureKind.INVALID_ANSWER, "breaks the contract"),
    (JSONResponse({}), FailureKind.INVALID_ANSWER, "breaks the contract at model"),
    (Response(b"\xff\xfe\x00"), FailureKind.INVALID_ANSWER, "breaks the contract"),
    (JSONResponse("x" * 5000), FailureKind.INVALID_ANSWER, "longer than 4096 bytes"),
    (
        Response(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}),
        FailureKind.INVALID_ANSWER,
        "compressed",
    ),
]


@pytest.mark.parametrize(("response", "kind", "words"), REFUSALS)
@pytest.mark.parametrize("role", ["classifier", "detector"])
async def test_an_answer_that_is_none_is_named_by_its_kind(
    role: str, response: Response, kind: FailureKind, words: str, tmp_path: Path
) -> None:
    stands = {"classifier": FakeService("classifier"), "detector": FakeService("detector")}
    stands[role].answer = fixed(response)
    async with services_with(
        stands["classifier"], stands["detector"], tmp_path, inference_max_response_bytes=4096
    ) as services:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "classifier": lambda: services.classifier.classify(IMAGE, explain=3),
            "detector": lambda: services.detector.detect(IMAGE),
        }
        failure = await failure_of(calls[role]())
        assert failure.kind is kind
        assert words in failure.detail
        assert failure.problem(role).kind == kind.value
        # The other service is not touched by it.
        await calls["detector" if role == "classifier" else "classifier"]()


def first_cam(body: dict[str, Any], values: list[list[float]]) -> None:
    body["cams"][0]["values"] = values


Change = Callable[[dict[str, Any]], object]
CLASSIFIED_WRONGLY: dict[str, Change] = {
    "one twice": lambda body: body["findings"].__setitem__(0, body["findings"][1]),
    "one missing": lambda body: body["findings"].pop(),
    "not of its labels": lambda body: body["findings"][0].update(finding="Covid"),
    "finding of no name": lambda body: body["findings"][0].update(finding="a cat!"),
    "probability above one": lambda body: body["findings"][0].update(probability=1.5),
    "probability of NaN": lambda body: body["findings"][0].update(probability=float("nan")),
    "no sha256": lambda body: body["model"].pop("sha256"),
    "map of NaN": lambda body: first_cam(body, [[float("nan")]]),
    "map of infinity": lambda body: first_cam(body, [[float("inf")]]),
    "ragged map": lambda body: first_cam(body, [[1.0, 2.0], [3.0]]),
    "empty map": lambda body: first_cam(body, []),
    "empty row": lambda body: first_cam(body, [[]]),
    "map twice": lambda body: body["cams"].append(body["cams"][0]),
}
DETECTED_WRONGLY: dict[str, Change] = {
    "other size": lambda body: body["image"].update(width=119),
    "not of its labels": lambda body: body["boxes"][0].update(finding="Covid"),
    "region of no name": lambda body: body["boxes"][0].update(finding="a cat!"),
    "score above one": lambda body: body["boxes"][0].update(score=1.01),
    "NaN": lambda body: body["boxes"][0].update(x_min=float("nan")),
    "infinite": lambda body: body["boxes"][0].update(x_max=float("inf")),
    "turned round": lambda body: body["boxes"][0].update(x_min=50, x_max=20),
    "outside": lambda body: body["boxes"][0].update(x_max=150),
    "negative": lambda body: body["boxes"][0].update(y_min=-5),
    "too many": lambda body: body.update(boxes=body["boxes"] * 1001),
}


@pytest.mark.parametrize("change", CLASSIFIED_WRONGLY.values(), ids=CLASSIFIED_WRONGLY.keys())
async def test_rubbish_of_the_classifier_is_an_invalid_answer(
    change: Change, tmp_path: Path
) -> None:
    gateway = FakeService("classifier")
    gateway.answer = altered(gateway, change)
    async with services_with(gateway, FakeService("detector"), tmp_path) as services:
        failure = await failure_of(services.classifier.classify(IMAGE, explain=3))
    assert failure.kind is FailureKind.INVALID_ANSWER


@pytest.mark.parametrize("change", DETECTED_WRONGLY.values(), ids=DETECTED_WRONGLY.keys())
async def test_rubbish_of_the_detector_is_an_invalid_answer(change: Change, tmp_path: Path) -> None:
    gateway = FakeService("detector")
    gateway.answer = altered(gateway, change)
    async with services_with(FakeService("classifier"), gateway, tmp_path) as services:
        failure = await failure_of(services.detector.detect(IMAGE))
    assert failure.kind is FailureKind.INVALID_ANSWER


async def test_an_answer_is_held_to_the_labels_that_its_own_model_announces(
    tmp_path: Path,
) -> None:
    """Those of another site, those of the model that follows it, and none that nobody announced."""
    gateway = FakeService("classifier", info={"labels": ["Metal_clip", "Wire"]})
    own = [probabilities()[0] | {"finding": name} for name in ("Metal_clip", "Wire")]
    gateway.findings = own
    async with services_with(
        gateway, FakeService("detector"), tmp_path, inference_probe_ttl_s=0
    ) as services:
        await services.classifier.classify(IMAGE, explain=3)
        gateway.findings = probabilities()
        assert (
            await failure_of(services.classifier.classify(IMAGE, explain=3))
        ).kind is FailureKind.INVALID_ANSWER
        gateway.sha256, gateway.info = "cd" * 32, {"labels": list(Finding)}
        await services.classifier.classify(IMAGE, explain=3)
        gateway.findings = own
        await failure_of(services.classifier.classify(IMAGE, explain=3))
        gateway.sha256, gateway.info = "ef" * 32, {"role": 7}
        await services.classifier.classify(IMAGE, explain=3)


async def test_fields_that_the_gateway_does_not_know_are_ignored(tmp_path: Path) -> None:
    gateway = FakeService("detector")
    gateway.answer = altered(gateway, lambda body: body["boxes"][0].update(mask=[1, 2], track_id=7))
    async with services_with(FakeService("classifier"), gateway, tmp_path) as services:
        assert (await services.detector.detect(IMAGE)).boxes[0].finding is Region.MASS


async def test_a_service_that_hangs_is_a_timeout_and_never_longer(tmp_path: Path) -> None:
    gateway = FakeService("classifier", answer=never)
    async with services_with(gateway, FakeService("detector"), tmp_path) as services:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(services.classifier.classify(IMAGE, explain=3))
        assert asyncio.get_running_loop().time() - started < 2
    assert failure.kind is FailureKind.TIMEOUT
    assert failure.detail == "it did not answer within 0.4 s"


async def test_only_a_connection_that_never_opened_is_tried_again(tmp_path: Path) -> None:
    port = Unreachable()
    async with services_over({CLASSIFIER_URL: port})(settings_for(tmp_path)) as services:
        failure = await failure_of(services.classifier.classify(IMAGE, explain=3))
    assert failure.kind is FailureKind.UNREACHABLE
    assert port.attempts == 2


class Wire:
    """A TCP server that says `reply`, or drips it, whatever it is asked."""

    def __init__(self, reply: bytes, *, drip: bool = False) -> None:
        self.connections = 0
        self._reply = reply
        self._drip = drip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(self._reply)
            while self._drip:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    @asynccontextmanager
    async def services(self, tmp_path: Path) -> AsyncIterator[InferenceClients]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = settings_for(tmp_path, **QUICK, classifier_url=url, detector_url=url)
        async with server, open_clients(settings) as services:
            yield services


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"\x00\x01garbage\r\n\r\n"]
)
async def test_a_connection_that_breaks_is_unreachable_and_is_not_tried_again(
    reply: bytes, tmp_path: Path
) -> None:
    wire = Wire(reply)
    async with wire.services(tmp_path) as services:
        failure = await failure_of(services.classifier.classify(IMAGE, explain=3))
    assert failure.kind is FailureKind.UNREACHABLE
    assert wire.connections == 1


async def test_an_answer_that_drips_does_not_outlast_the_timeout(tmp_path: Path) -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", drip=True)
    async with wire.services(tmp_path) as services:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(services.detector.detect(IMAGE))
        assert asyncio.get_running_loop().time() - started < 2
    assert failure.kind is FailureKind.TIMEOUT


async def test_a_port_that_nobody_listens_on_is_unreachable(
    tmp_path: Path, unused_url: str
) -> None:
    settings = settings_for(tmp_path, classifier_url=unused_url, detector_url=unused_url)
    async with open_clients(settings) as services:
        failure = await failure_of(services.detector.detect(IMAGE))
        assert failure.kind is FailureKind.UNREACHABLE
        for service in (services.classifier, services.detector):
            assert not (await service.status()).ready


@pytest.fixture
async def unused_url() -> str:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_url: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", unused_url)
    monkeypatch.setenv("ALL_PROXY", unused_url)
    body = FakeService("detector").body(120, 100, Request({"type": "http"}))
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    async with Wire(head.encode() + content).services(tmp_path) as services:
        assert (await services.detector.detect(IMAGE)).image.width == 120


async def test_health_is_logged_when_it_changes_and_only_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cxr_gateway.inference.clients")
    gateway = FakeService("detector")
    async with services_with(FakeService("classifier"), gateway, tmp_path) as services:
        await services.detector.detect(IMAGE)
        gateway.answer = fixed(problem(500, "internal"))
        for _ in range(3):
            await failure_of(services.detector.detect(IMAGE))
        gateway.answer = fixed(problem(503, "overloaded"))
        await failure_of(services.detector.detect(IMAGE))
        gateway.answer = None
        for _ in range(3):
            await services.detector.detect(IMAGE)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "an inference service stopped answering",
        "an inference service answers again",
    ]


async def test_the_state_of_a_service_is_probed_once_for_all_who_ask(tmp_path: Path) -> None:
    gateway = FakeService("classifier")
    async with services_with(
        gateway, FakeService("detector"), tmp_path, inference_probe_ttl_s=60
    ) as services:
        first = await asyncio.gather(*(services.classifier.status() for _ in range(5)))
        gateway.ready = False
        assert {status.ready for status in first} == {True}
        assert (await services.classifier.status()).ready


async def test_a_service_at_the_wrong_address_is_not_ready(tmp_path: Path) -> None:
    """Both addresses swapped in the settings must not end in rubbish answers."""
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(FakeService("detector").app()),
        DETECTOR_URL: httpx.ASGITransport(FakeService("detector").app()),
    }
    async with services_over(mounts)(settings_for(tmp_path)) as services:
        status = await services.classifier.status()
    assert not status.ready
    assert status.detail == "its /info says that it is a detector"


@pytest.mark.parametrize(
    ("classifier", "detector", "status", "parts"),
    [
        (never, None, 201, {"classifier": "timeout"}),
        (None, fixed(problem(500, "internal")), 201, {"detector": "error"}),
        (fixed(JSONResponse({})), None, 201, {"classifier": "invalid-answer"}),
        (None, fixed(problem(503, "overloaded")), 201, {"detector": "overloaded"}),
        (never, never, 503, {"classifier": "timeout", "detector": "timeout"}),
    ],
)
async def test_a_study_ends_within_the_timeout_and_names_what_is_missing(
    classifier: Answer | None,
    detector: Answer | None,
    status: int,
    parts: dict[str, str],
    tmp_path: Path,
) -> None:
    settings: GatewaySettings = settings_for(tmp_path / "archive", **QUICK)
    async with running_gateway(
        settings,
        classifier=FakeService("classifier", answer=classifier),
        detector=FakeService("detector", answer=detector),
    ) as gateway:
        async with asyncio.timeout(3):
            response = await gateway.post(png())
    assert response.status_code == status
    assert {entry["service"]: entry["kind"] for entry in response.json()["problems"]} == parts


def test_the_stands_speak_of_all_fourteen() -> None:
    assert sorted(row["finding"] for row in probabilities()) == sorted(Finding)
    assert box(Region.MASS, 0.5, 1, 2, 3, 4)["y_max"] == 4
