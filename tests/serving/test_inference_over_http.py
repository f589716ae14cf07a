"""The two inference services as apps, with real networks of random weights, over ASGI."""

import asyncio
import contextlib
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from fastapi import FastAPI
from PIL import Image

from cxr_classifier.app import create_app as create_classifier
from cxr_classifier.preprocessing import preprocess
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import (
    CLASSIFY_PATH,
    DETECT_PATH,
    ClassifyResponse,
    DetectResponse,
    Finding,
    Problem,
    Region,
    ServiceInfo,
    evidence_order,
    level_of,
)
from cxr_detector.app import create_app as create_detector
from cxr_detector.settings import DetectorSettings
from cxr_serving import inference_service
from cxr_serving.model_folder import open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from support.images import encoded, png, png_header_of, radiograph_like

PATHS = {"classifier": CLASSIFY_PATH, "detector": DETECT_PATH}


def create(role: str, folder: Path, **limits: Any) -> FastAPI:
    settings: dict[str, Any] = {
        "model_dir": folder,
        "runtime": "onnxruntime",
        "threads": 1,
    } | limits
    if role == "classifier":
        return create_classifier(ClassifierSettings(**settings))
    return create_detector(DetectorSettings(**settings))


@contextlib.asynccontextmanager
async def client_of(app: FastAPI, *, wait: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://service", timeout=30
        ) as client,
    ):
        if wait:
            assert await app.state.service.loaded()
        yield client


@pytest.fixture
async def classifier(classifier_folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create("classifier", classifier_folder)) as client:
        yield client


@pytest.fixture
async def detector(detector_folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create("detector", detector_folder)) as client:
        yield client


@pytest.fixture(params=["classifier", "detector"])
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(role: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{role}_folder")
    return found


def as_file(data: bytes) -> dict[str, tuple[str, bytes]]:
    return {"image": ("radiograph.png", data)}


async def test_the_classifier_answers_fourteen_findings_by_level_then_probability(
    classifier: httpx.AsyncClient, classifier_folder: Path
) -> None:
    response = await classifier.post(CLASSIFY_PATH, files=as_file(png()))
    body = ClassifyResponse.model_validate_json(response.content)
    order = [evidence_order(item.level, item.probability) for item in body.findings]
    assert order == sorted(order)
    assert {item.finding for item in body.findings} == set(Finding)
    for item in body.findings:
        points = item.possible_threshold, item.likely_threshold
        assert item.level is level_of(item.probability, *points)
    assert body.cams == []
    assert body.model == open_model_folder(classifier_folder, "classifier").identity


async def test_probabilities_are_the_networks_logits_calibrated(
    classifier: httpx.AsyncClient, classifier_folder: Path
) -> None:
    folder = open_model_folder(classifier_folder, "classifier")
    network = OnnxRuntime(folder.onnx(), threads=1)
    logits, _ = network.run(preprocess(radiograph_like(), folder.manifest.input)[None])
    expected = {
        label.name: 1 / (1 + np.exp(-(label.slope * float(logit) + label.intercept)))
        for label, logit in zip(folder.manifest.labels, logits[0], strict=True)
    }
    response = await classifier.post(CLASSIFY_PATH, files=as_file(png()))
    for item in ClassifyResponse.model_validate_json(response.content).findings:
        assert item.probability == pytest.approx(expected[item.finding], abs=1e-5)


async def test_maps_come_for_the_most_probable_findings_and_their_mean_is_the_logit(
    classifier: httpx.AsyncClient, classifier_folder: Path
) -> None:
    manifest = open_model_folder(classifier_folder, "classifier").manifest
    label = {label.name: label for label in manifest.labels}
    response = await classifier.post(CLASSIFY_PATH, params={"explain": 3}, files=as_file(png()))
    body = ClassifyResponse.model_validate_json(response.content)
    assert [cam.finding for cam in body.cams] == [item.finding for item in body.findings[:3]]
    for cam, item in zip(body.cams, body.findings, strict=False):
        spec = label[cam.finding]
        z = spec.slope * float(np.mean(cam.values)) + spec.intercept
        assert 1 / (1 + np.exp(-z)) == pytest.approx(item.probability, abs=1e-3)


@pytest.mark.parametrize("query", ["explain=15", "explain=-1", "explain=x", "explian=3"])
async def test_a_wrong_query_is_refused(classifier: httpx.AsyncClient, query: str) -> None:
    response = await classifier.post(f"{CLASSIFY_PATH}?{query}", files=as_file(png()))
    assert response.status_code == 422
    assert Problem.model_validate_json(response.content).status == 422


async def test_the_detector_answers_boxes_in_pixels_of_the_image(
    detector: httpx.AsyncClient,
) -> None:
    response = await detector.post(DETECT_PATH, files=as_file(png(600, 200)))
    body = DetectResponse.model_validate_json(response.content)
    assert (body.image.width, body.image.height) == (600, 200)
    assert 0 < len(body.boxes) <= 10
    for box in body.boxes:
        assert box.finding in Region
        assert 0 <= box.x_min < box.x_max <= 600
        assert 0 <= box.y_min < box.y_max <= 200
    # The random network draws large boxes, so one of them must reach beyond a 200 px square.
    assert max(box.x_max for box in body.boxes) > 200


async def test_the_detector_answers_boxes_below_its_thresholds_if_it_is_asked(
    detector_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(detector_folder, tmp_path / "detector"))
    async with client_of(create("detector", folder)) as client:
        best = (await client.post(DETECT_PATH, files=as_file(png()))).json()["boxes"]
    lowest, middle = best[-1]["score"], best[len(best) // 2]["score"]
    assert lowest < middle
    manifest = open_model_folder(folder, "detector").manifest
    labels = [label.model_copy(update={"threshold": middle}) for label in manifest.labels]
    strict = manifest.model_copy(update={"labels": labels})
    (folder / "manifest.json").write_text(strict.model_dump_json())
    async with client_of(create("detector", folder)) as client:
        default = (await client.post(DETECT_PATH, files=as_file(png()))).json()["boxes"]
        asked = await client.post(f"{DETECT_PATH}?min_score={lowest}", files=as_file(png()))
        above = await client.post(f"{DETECT_PATH}?min_score=1", files=as_file(png()))
    boxes = asked.json()["boxes"]
    assert [box for box in boxes if box["above_threshold"]] == default == above.json()["boxes"]
    below = [box["score"] for box in boxes if not box["above_threshold"]]
    assert below
    # Scores are rounded on the wire, thresholds are not.
    assert all(lowest - 1e-6 <= score <= middle + 1e-6 for score in below)
    assert [box["score"] for box in boxes] == sorted((box["score"] for box in boxes), reverse=True)


@pytest.mark.parametrize(
    "query", ["min_score=0", "min_score=1.01", "min_score=nan", "min_score=x", "min_skore=0.1"]
)
async def test_a_wrong_query_of_the_detector_is_refused(
    detector: httpx.AsyncClient, query: str
) -> None:
    response = await detector.post(f"{DETECT_PATH}?{query}", files=as_file(png()))
    assert response.status_code == 422
    assert Problem.model_validate_json(response.content).status == 422


@pytest.fixture
def _batches_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where each image gets faster for its neighbours."""
    monkeypatch.setattr(inference_service, "best_batch_size", lambda _run, most: most)


@pytest.mark.usefixtures("_batches_pay")
async def test_the_same_image_gets_the_same_result_alone_and_in_a_batch(
    role: str, folder: Path
) -> None:
    images = [png(seed=seed) for seed in range(9)]
    async with client_of(create(role, folder, max_batch_size=3)) as client:
        alone = [(await client.post(PATHS[role], files=as_file(image))).json() for image in images]
        together = await asyncio.gather(
            *(client.post(PATHS[role], files=as_file(image)) for image in images)
        )
        metrics = (await client.get("/metrics")).text.splitlines()
    for one, many in zip(alone, together, strict=True):
        assert many.status_code == 200
        _assert_close(one, many.json())
    (runs,) = [line.split()[1] for line in metrics if line.startswith("cxr_batch_size_count")]
    # Nine runs for those that came alone, and fewer than nine for those that came together.
    assert 9 < float(runs) < 18


def _assert_close(one: Any, other: Any) -> None:
    """The same structure, and numbers within 1e-3: a batch sums in another order."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _assert_close(left, right)
    elif isinstance(one, float):
        assert other == pytest.approx(one, abs=1e-3, rel=1e-3)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 422),
        (b"GIF89a" + bytes(100), 415),
        (b"a letter", 415),
        (png()[:300], 422),
        (png(16, 16), 422),
        (png_header_of(60_000, 60_000), 413),
        (bytes(300_000), 413),
    ],
)
async def test_bad_input_gets_its_problem(
    role: str, folder: Path, data: bytes, status: int
) -> None:
    async with client_of(create(role, folder, max_upload_bytes=200_000)) as client:
        response = await client.post(PATHS[role], files=as_file(data))
        assert Problem.model_validate_json(response.content).status == status
        assert response.status_code == status
        assert (await client.post(PATHS[role], files=as_file(png()))).status_code == 200


async def test_a_jpeg_in_colour_is_read(role: str, folder: Path) -> None:
    data = encoded(Image.fromarray(radiograph_like()).convert("RGB"), "JPEG")
    async with client_of(create(role, folder)) as client:
        assert (await client.post(PATHS[role], files=as_file(data))).status_code == 200


@pytest.mark.usefixtures("_batches_pay")
async def test_info_says_what_is_served_and_how(role: str, folder: Path) -> None:
    async with client_of(create(role, folder, max_batch_size=3, max_queue_length=7)) as client:
        info = ServiceInfo.model_validate_json((await client.get("/info")).content)
    assert (info.role, info.runtime, info.device) == (role, "onnxruntime", "cpu")
    assert (info.max_batch_size, info.max_queue_length) == (3, 7)
    assert info.labels == [str(name) for name in (Finding if role == "classifier" else Region)]


async def test_a_service_is_not_ready_before_its_model_is_loaded(role: str, folder: Path) -> None:
    app = create(role, folder)
    async with client_of(app, wait=False) as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/info")).status_code == 503
        early = await client.post(PATHS[role], files=as_file(png()))
        assert early.status_code == 503
        assert await app.state.service.loaded()
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx"])
async def test_a_service_of_a_changed_file_never_becomes_ready(
    role: str, folder: Path, tmp_path: Path, name: str
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "model"))
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 1
    (copy / name).write_bytes(data)
    app = create(role, copy)
    async with client_of(app, wait=False) as client:
        assert not await app.state.service.loaded()
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.post(PATHS[role], files=as_file(png()))).status_code == 503


async def test_the_openapi_document_describes_the_upload(role: str, folder: Path) -> None:
    document = create(role, folder).openapi()
    operation = document["paths"][PATHS[role]]["post"]
    assert (
        operation["operationId"]
        == {"classifier": "classifyImage", "detector": "detectRegions"}[role]
    )
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["image"]["format"] == "binary"
    assert {"200", "413", "415", "422", "503"} <= set(operation["responses"])
    model = ClassifyResponse if role == "classifier" else DetectResponse
    example = operation["responses"]["200"]["content"]["application/json"]["example"]
    model.model_validate(example)


@pytest.mark.slow
async def test_images_larger_than_the_network_cost_no_lasting_memory(
    classifier: httpx.AsyncClient,
) -> None:
    process = psutil.Process()
    large = encoded(radiograph_like(1000, 1000))
    for _ in range(20):
        await classifier.post(CLASSIFY_PATH, files=as_file(large))
    before = process.memory_info().rss
    for _ in range(120):
        response = await classifier.post(
            CLASSIFY_PATH, params={"explain": 14}, files={"image": io.BytesIO(large)}
        )
        assert response.status_code == 200
    assert process.memory_info().rss - before < 30_000_000
