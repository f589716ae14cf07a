"""One trace for each upload, through the gateway and both real services, to a real collector."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from cxr_classifier.app import create_app as create_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_detector.app import create_app as create_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    RunningGateway,
    Unreachable,
    running_gateway,
    settings_for,
)
from support.images import png
from support.otlp_collector import Collector, Received, collector

FILE_NAME = "Smith_John_1950.png"
STEPS = {
    "gateway": {
        "POST /api/v1/studies",
        *("receive", "wait", "decode", "quality", "ood", "encode", "classifier", "detector"),
        *("archive", "merge", "record"),
    },
    "classifier": {"POST /v1/classify", "upload", "decode", "prepare", "model", "queue", "run"},
    "detector": {"POST /v1/detect", "upload", "decode", "prepare", "model", "queue", "run"},
}
ALL_STEPS = set[str]().union(*STEPS.values())


@pytest.fixture
def traces() -> Iterator[Collector]:
    with collector() as running:
        yield running


@asynccontextmanager
async def system(
    endpoint: str, archive: Path, classifier: Path, detector: Path
) -> AsyncIterator[RunningGateway]:
    """All three services, each with traces of its own."""
    apps = {
        CLASSIFIER_URL: create_classifier(
            ClassifierSettings(
                model_dir=classifier, runtime="onnxruntime", threads=1, traces_endpoint=endpoint
            )
        ),
        DETECTOR_URL: create_detector(
            DetectorSettings(
                model_dir=detector, runtime="onnxruntime", threads=1, traces_endpoint=endpoint
            )
        ),
    }
    settings = settings_for(
        archive, classifier_timeout_s=60, detector_timeout_s=60, traces_endpoint=endpoint
    )
    async with AsyncExitStack() as stack:
        for app in apps.values():
            await stack.enter_async_context(app.router.lifespan_context(app))
            assert await app.state.service.loaded()
        transports = {url: httpx.ASGITransport(app) for url, app in apps.items()}
        yield await stack.enter_async_context(running_gateway(settings, transports=transports))


async def test_an_upload_is_one_trace_through_all_services(
    traces: Collector,
    tmp_path: Path,
    classifier_folder: Path,
    detector_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The web framework's own spans, which carry query strings, stay away even when asked for.
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.url)
    # The id of a made-up trace.
    # pragma: allowlist nextline secret
    caller = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "traceparent": f"00-{caller}-00f067aa0ba902b7-01",
        "X-Request-ID": "from-the-ward-7",
    }
    async with system(traces.url, tmp_path, classifier_folder, detector_folder) as gateway:
        answer = await gateway.post(png(), name=FILE_NAME, **headers)
        assert answer.status_code == 201, answer.text
        for probe in ("/livez", "/readyz", "/metrics"):
            await gateway.client.get(probe)
    spans = traces.wait_for(*ALL_STEPS)
    assert {span.trace_id for span in spans} == {caller}
    assert {
        service: {span.name for span in spans if span.service == service} for service in STEPS
    } == STEPS
    by_place = {(span.service, span.name): span for span in spans}
    assert len(by_place) == len(spans)
    check_family(by_place)
    requests = [span for span in spans if span.kind == "server"]
    assert len(requests) == 3
    assert {span.attributes["cxr.request_id"] for span in requests} == {"from-the-ward-7"}
    check_silence(traces, spans, answer.json()["id"])


def check_family(spans: dict[tuple[str, str], Received]) -> None:
    """Every step stands under the one that caused it, and within its time."""
    root = spans["gateway", "POST /api/v1/studies"]
    assert root.parent_id == "00f067aa0ba902b7"
    for name in STEPS["gateway"] - {root.name}:
        assert spans["gateway", name].parent_id == root.span_id, name
    for role, path in (("classifier", "classify"), ("detector", "detect")):
        call = spans["gateway", role]
        assert call.kind == "client"
        served = spans[role, f"POST /v1/{path}"]
        assert (served.kind, served.parent_id) == ("server", call.span_id)
        for name in ("upload", "decode", "prepare", "model"):
            assert spans[role, name].parent_id == served.span_id, name
        model, queue, run = (spans[role, name] for name in ("model", "queue", "run"))
        assert queue.parent_id == run.parent_id == model.span_id
        assert run.attributes == {"cxr.batch_size": 1}
        # Two clocks are compared; a millisecond is far more than they differ by.
        slack_ns = 1_000_000
        assert model.started_ns - slack_ns <= queue.started_ns <= queue.ended_ns
        assert abs(run.started_ns - queue.ended_ns) < slack_ns
        assert run.ended_ns <= model.ended_ns + slack_ns


def check_silence(traces: Collector, spans: list[Received], study_id: str) -> None:
    """Nothing that was sent tells of the radiograph, its name or its study."""
    known = {
        *("http.request.method", "http.route", "http.response.status_code"),
        *("cxr.request_id", "cxr.batch_size"),
    }
    assert {name for span in spans for name in span.attributes} == known
    sent = b"".join(traces.requests).decode("latin-1")
    for secret in ("Smith", study_id, "explain", "min_score", "testserver"):
        assert secret not in sent, secret


async def test_what_fails_is_marked_by_its_class_and_not_by_its_message(
    traces: Collector, tmp_path: Path
) -> None:
    settings = settings_for(tmp_path, traces_endpoint=traces.url)
    down = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with running_gateway(settings, transports=down) as gateway:
        assert (await gateway.post(png())).status_code == 503
        assert (await gateway.post(b"no image")).status_code == 415
        assert (await gateway.client.get("/api/v1/studies/smith-john")).status_code == 404
    spans = traces.wait_for("classifier", "POST /api/v1/studies", "GET /api/v1/studies/{study_id}")
    failed = {(span.name, span.attributes.get("error.type")) for span in spans if span.failed}
    assert failed == {
        ("classifier", "InferenceFailure"),
        ("detector", "InferenceFailure"),
        ("decode", "UnsupportedMedia"),
        ("POST /api/v1/studies", None),
    }
    assert "smith-john" not in b"".join(traces.requests).decode("latin-1")


async def test_a_collector_that_is_away_costs_no_analysis_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and nobody listens
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with running_gateway(settings_for(tmp_path, traces_endpoint=endpoint)) as gateway:
            assert (await gateway.post(png())).status_code == 201
            async with asyncio.timeout(60):
                while "does not take traces" not in caplog.text:
                    await asyncio.sleep(0.01)
            assert (await gateway.post(png(seed=1))).status_code == 201


async def test_a_collector_that_never_answers_holds_neither_analyses_nor_the_end(
    traces: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each span is sent at once, so that the collector holds the sender while radiographs are read.
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    traces.answers.clear()
    async with running_gateway(settings_for(tmp_path, traces_endpoint=traces.url)) as gateway:
        assert (await gateway.post(png())).status_code == 201
        await asyncio.to_thread(traces.wait_for, "receive")
        assert (await gateway.post(png(seed=1))).status_code == 201
    assert not traces.answers.is_set()


def test_without_a_collector_its_library_is_not_even_imported() -> None:
    script = (
        "import sys, cxr_gateway.app, cxr_classifier.app, cxr_detector.app; "
        "sys.exit('opentelemetry.sdk' in sys.modules)"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_the_variable_that_all_programs_know_turns_traces_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert GatewaySettings().resolved_traces_endpoint is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    assert GatewaySettings().resolved_traces_endpoint is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert DetectorSettings().resolved_traces_endpoint == "http://collector:4318"
    monkeypatch.setenv("CXR_GATEWAY_TRACES_ENDPOINT", "http://another:4318")
    assert GatewaySettings().resolved_traces_endpoint == "http://another:4318"
