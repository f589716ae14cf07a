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
    ReaderStand,
    Unreachable,
    box,
    never,
    probabilities,
    readers_over,
    settings_for,
    standing_gateway,
)
from support.images import png, radiograph_like

PICTURE = EncodedImage(stored_png(radiograph_like(120, 100)), "image/png", 120, 100)
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


def altered(stand: ReaderStand, change: Callable[[dict[str, Any]], object]) -> Answer:
    async def answer(request: Request) -> Response:
        body = stand.body(120, 100, request)
        change(body)
        return Response(json.dumps(body), media_type="application/json")

    return answer


@asynccontextmanager
async def readers_with(
    classifier: ReaderStand, detector: ReaderStand, tmp_path: Path, **settings: Any
) -> AsyncIterator[InferenceClients]:
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(classifier.app()),
        DETECTOR_URL: httpx.ASGITransport(detector.app()),
    }
    async with readers_over(mounts)(settings_for(tmp_path, **(QUICK | settings))) as readers:
        yield readers


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
    stands = {"classifier": ReaderStand("classifier"), "detector": ReaderStand("detector")}
    stands[role].answer = fixed(response)
    async with readers_with(
        stands["classifier"], stands["detector"], tmp_path, inference_max_response_bytes=4096
    ) as readers:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "classifier": lambda: readers.classifier.classify(PICTURE, explain=3),
            "detector": lambda: readers.detector.detect(PICTURE),
        }
        failure = await failure_of(calls[role]())
        assert failure.kind is kind
        assert words in failure.detail
        assert failure.problem(role).kind == kind.value
        # The other reader is not touched by it.
        await calls["detector" if role == "classifier" else "classifier"]()


def first_cam(body: dict[str, Any], values: list[list[float]]) -> None:
    body["cams"][0]["values"] = values


Change = Callable[[dict[str, Any]], object]
CLASSIFIED_WRONGLY: dict[str, Change] = {
    "thirteen": lambda body: body["findings"].pop(),
    "one twice": lambda body: body["findings"].__setitem__(0, body["findings"][1]),
    "unknown finding": lambda body: body["findings"][0].update(finding="Cat"),
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
    "unknown region": lambda body: body["boxes"][0].update(finding="Cat"),
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
    stand = ReaderStand("classifier")
    stand.answer = altered(stand, change)
    async with readers_with(stand, ReaderStand("detector"), tmp_path) as readers:
        failure = await failure_of(readers.classifier.classify(PICTURE, explain=3))
    assert failure.kind is FailureKind.INVALID_ANSWER


@pytest.mark.parametrize("change", DETECTED_WRONGLY.values(), ids=DETECTED_WRONGLY.keys())
async def test_rubbish_of_the_detector_is_an_invalid_answer(change: Change, tmp_path: Path) -> None:
    stand = ReaderStand("detector")
    stand.answer = altered(stand, change)
    async with readers_with(ReaderStand("classifier"), stand, tmp_path) as readers:
        failure = await failure_of(readers.detector.detect(PICTURE))
    assert failure.kind is FailureKind.INVALID_ANSWER


async def test_fields_that_the_gateway_does_not_know_are_ignored(tmp_path: Path) -> None:
    stand = ReaderStand("detector")
    stand.answer = altered(stand, lambda body: body["boxes"][0].update(mask=[1, 2], track_id=7))
    async with readers_with(ReaderStand("classifier"), stand, tmp_path) as readers:
        assert (await readers.detector.detect(PICTURE)).boxes[0].finding is Region.MASS


async def test_a_reader_that_hangs_is_a_timeout_and_never_longer(tmp_path: Path) -> None:
    stand = ReaderStand("classifier", answer=never)
    async with readers_with(stand, ReaderStand("detector"), tmp_path) as readers:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(readers.classifier.classify(PICTURE, explain=3))
        assert asyncio.get_running_loop().time() - started < 2
    assert failure.kind is FailureKind.TIMEOUT
    assert failure.detail == "it did not answer within 0.4 s"


async def test_only_a_connection_that_never_opened_is_tried_again(tmp_path: Path) -> None:
    port = Unreachable()
    async with readers_over({CLASSIFIER_URL: port})(settings_for(tmp_path)) as readers:
        failure = await failure_of(readers.classifier.classify(PICTURE, explain=3))
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
    async def readers(self, tmp_path: Path) -> AsyncIterator[InferenceClients]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = settings_for(tmp_path, **QUICK, classifier_url=url, detector_url=url)
        async with server, open_clients(settings) as readers:
            yield readers


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"\x00\x01garbage\r\n\r\n"]
)
async def test_a_connection_that_breaks_is_unreachable_and_is_not_tried_again(
    reply: bytes, tmp_path: Path
) -> None:
    wire = Wire(reply)
    async with wire.readers(tmp_path) as readers:
        failure = await failure_of(readers.classifier.classify(PICTURE, explain=3))
    assert failure.kind is FailureKind.UNREACHABLE
    assert wire.connections == 1


async def test_an_answer_that_drips_does_not_outlast_the_timeout(tmp_path: Path) -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", drip=True)
    async with wire.readers(tmp_path) as readers:
        started = asyncio.get_running_loop().time()
        failure = await failure_of(readers.detector.detect(PICTURE))
        assert asyncio.get_running_loop().time() - started < 2
    assert failure.kind is FailureKind.TIMEOUT


async def test_a_port_that_nobody_listens_on_is_unreachable(
    tmp_path: Path, unused_url: str
) -> None:
    settings = settings_for(tmp_path, classifier_url=unused_url, detector_url=unused_url)
    async with open_clients(settings) as readers:
        failure = await failure_of(readers.detector.detect(PICTURE))
        assert failure.kind is FailureKind.UNREACHABLE
        for reader in (readers.classifier, readers.detector):
            assert not (await reader.status()).ready


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
    body = ReaderStand("detector").body(120, 100, Request({"type": "http"}))
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    async with Wire(head.encode() + content).readers(tmp_path) as readers:
        assert (await readers.detector.detect(PICTURE)).image.width == 120


async def test_health_is_logged_when_it_changes_and_only_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cxr_gateway.inference.clients")
    stand = ReaderStand("detector")
    async with readers_with(ReaderStand("classifier"), stand, tmp_path) as readers:
        await readers.detector.detect(PICTURE)
        stand.answer = fixed(problem(500, "internal"))
        for _ in range(3):
            await failure_of(readers.detector.detect(PICTURE))
        stand.answer = fixed(problem(503, "overloaded"))
        await failure_of(readers.detector.detect(PICTURE))
        stand.answer = None
        for _ in range(3):
            await readers.detector.detect(PICTURE)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "an inference service stopped answering",
        "an inference service answers again",
    ]


async def test_the_state_of_a_reader_is_probed_once_for_all_who_ask(tmp_path: Path) -> None:
    stand = ReaderStand("classifier")
    async with readers_with(
        stand, ReaderStand("detector"), tmp_path, inference_probe_ttl_s=60
    ) as readers:
        first = await asyncio.gather(*(readers.classifier.status() for _ in range(5)))
        stand.ready = False
        assert {status.ready for status in first} == {True}
        assert (await readers.classifier.status()).ready


async def test_a_reader_at_the_wrong_address_is_not_ready(tmp_path: Path) -> None:
    """Both addresses swapped in the settings must not end in rubbish answers."""
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        CLASSIFIER_URL: httpx.ASGITransport(ReaderStand("detector").app()),
        DETECTOR_URL: httpx.ASGITransport(ReaderStand("detector").app()),
    }
    async with readers_over(mounts)(settings_for(tmp_path)) as readers:
        status = await readers.classifier.status()
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
    async with standing_gateway(
        settings,
        classifier=ReaderStand("classifier", answer=classifier),
        detector=ReaderStand("detector", answer=detector),
    ) as stand:
        async with asyncio.timeout(3):
            response = await stand.post(png())
    assert response.status_code == status
    assert {entry["service"]: entry["kind"] for entry in response.json()["problems"]} == parts


def test_the_stands_speak_of_all_fourteen() -> None:
    assert sorted(row["finding"] for row in probabilities()) == sorted(Finding)
    assert box(Region.MASS, 0.5, 1, 2, 3, 4)["y_max"] == 4
