"""The gateway's real clients against the real services' apps, over ASGI, on random networks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from cxr_classifier.app import create_app as create_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import Finding
from cxr_detector.app import create_app as create_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.core.schemas import Study
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import EncodedImage, InferenceClients
from cxr_gateway.inference.failures import FailureKind, InferenceFailure
from cxr_gateway.inference.image_encoding import stored_png
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    RunningGateway,
    running_gateway,
    services_over,
    settings_for,
)
from support.images import encoded, example_image, png, radiograph_like


@pytest.fixture
async def transports(
    classifier_folder: Path, detector_folder: Path
) -> AsyncIterator[dict[str, httpx.AsyncBaseTransport]]:
    classifier = create_classifier(
        ClassifierSettings(model_dir=classifier_folder, runtime="onnxruntime", threads=1)
    )
    detector = create_detector(
        DetectorSettings(model_dir=detector_folder, runtime="onnxruntime", threads=1)
    )
    async with AsyncExitStack() as stack:
        for app in (classifier, detector):
            await stack.enter_async_context(app.router.lifespan_context(app))
            assert await app.state.service.loaded()
        yield {
            CLASSIFIER_URL: httpx.ASGITransport(classifier),
            DETECTOR_URL: httpx.ASGITransport(detector),
        }


@pytest.fixture
async def services(
    transports: dict[str, httpx.AsyncBaseTransport], tmp_path: Path
) -> AsyncIterator[InferenceClients]:
    async with services_over(transports)(settings_for(tmp_path)) as opened:
        yield opened


@pytest.fixture
async def gateway(
    transports: dict[str, httpx.AsyncBaseTransport], tmp_path: Path
) -> AsyncIterator[RunningGateway]:
    settings = settings_for(tmp_path / "archive", classifier_timeout_s=60, detector_timeout_s=60)
    async with running_gateway(settings, transports=transports) as running:
        yield running


@pytest.mark.parametrize(
    "radiograph",
    [
        png(150, 110),
        encoded(example_image("effusion"), "JPEG"),
        encoded(radiograph_like(150, 110).astype("uint16") * 16),
    ],
    ids=["png", "jpeg", "png of 16 bits"],
)
async def test_both_real_services_read_what_the_gateway_sends(
    gateway: RunningGateway, radiograph: bytes
) -> None:
    response = await gateway.post(radiograph)
    assert response.status_code == 201, response.text
    study = Study.model_validate_json(response.content)
    assert (study.status, study.problems) == ("complete", [])
    assert sorted(row.finding for row in study.findings) == sorted(Finding)
    assert [row.probability for row in study.findings] == sorted(
        (row.probability for row in study.findings), reverse=True
    )
    assert study.heatmaps == [row.finding for row in study.findings]
    assert len(study.heatmaps) == len(Finding)
    assert study.boxes  # the random detector shows whatever it scores
    for box in study.boxes:
        assert 0 <= box.x_min < box.x_max <= study.image.width
        assert 0 <= box.y_min < box.y_max <= study.image.height
    assert [model.name for model in study.models[1:]] == ["random-classifier", "random-detector"]


async def test_the_heat_map_of_a_real_classifier_is_drawn(gateway: RunningGateway) -> None:
    study = (await gateway.post(png(150, 110))).json()
    for finding in study["heatmaps"]:
        answer = await gateway.client.get(f"/api/v1/studies/{study['id']}/heatmaps/{finding}.png")
        assert answer.status_code == 200


async def test_the_real_services_say_that_they_are_ready_and_with_which_model(
    services: InferenceClients,
) -> None:
    statuses = [await one.status() for one in (services.classifier, services.detector)]
    assert [(status.role, status.ready) for status in statuses] == [
        ("classifier", True),
        ("detector", True),
    ]
    assert [status.model.name for status in statuses if status.model] == [
        "random-classifier",
        "random-detector",
    ]


async def test_a_real_services_refusal_reaches_the_study_in_its_own_words(
    services: InferenceClients,
) -> None:
    with pytest.raises(InferenceFailure) as caught:
        await services.classifier.classify(EncodedImage(b"no image", "image/png", 1, 1), explain=3)
    assert caught.value.kind is FailureKind.ERROR
    assert caught.value.detail.startswith("it answered with status 415: ")


@pytest.mark.parametrize("settings", [ClassifierSettings, DetectorSettings])
def test_the_largest_image_that_imaging_accepts_fits_through_to_a_service(
    settings: type[ClassifierSettings | DetectorSettings],
) -> None:
    fields = settings.model_fields
    largest = GatewaySettings.model_fields["max_pixels"].default
    assert largest <= fields["max_pixels"].default
    height = 10_000
    sent = stored_png(np.zeros((height, largest // height), np.uint8))
    assert len(sent) <= fields["max_upload_bytes"].default
