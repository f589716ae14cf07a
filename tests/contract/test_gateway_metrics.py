"""What an operator reads off a gateway: who waits, what is refused and why, what is found."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import Response

from cxr_contracts import Finding
from support.dicom_images import dicom
from support.fake_gateway import (
    DETECTOR_URL,
    FakeService,
    RunningGateway,
    Unreachable,
    probabilities,
    running_gateway,
    settings_for,
)
from support.images import bright, encoded, png, radiograph_like


async def value(gateway: RunningGateway, series: str) -> float:
    """The value of a series, written as in the exposition."""
    lines = (await gateway.client.get("/metrics")).text.splitlines()
    [found] = [line for line in lines if line.startswith(f"{series} ")]
    return float(found.rpartition(" ")[2])


def colour() -> bytes:
    """An image in colours that no grey radiograph has."""
    red = np.zeros((100, 120, 3), np.uint8)
    red[..., 0] = radiograph_like()
    return encoded(red)


@pytest.mark.parametrize(
    ("radiograph", "reason"),
    [
        (dicom(radiograph_like(), BodyPartExamined="FOOT"), "tags"),
        (colour(), "colour"),
        (encoded(bright()), "image"),
        (encoded(np.full((100, 120), 255, np.uint8)), "quality"),
    ],
    ids=["tags", "colour", "image", "quality"],
)
async def test_what_the_ood_detector_refuses_is_counted_by_the_class_of_its_reason(
    radiograph: bytes, reason: str, tmp_path: Path
) -> None:
    async with running_gateway(settings_for(tmp_path)) as gateway:
        answer = await gateway.post(radiograph)
        assert answer.json()["status"] == "rejected", answer.text
        assert await value(gateway, f'cxr_ood_refusals_total{{reason="{reason}"}}') == 1
        assert await value(gateway, 'cxr_studies_total{priority="none",status="rejected"}') == 1
        assert await value(gateway, "cxr_classified_studies_total") == 0


async def test_findings_are_counted_as_a_share_of_what_the_classifier_answered(
    tmp_path: Path,
) -> None:
    async with running_gateway(settings_for(tmp_path)) as gateway:
        for seed in range(3):
            assert (await gateway.post(png(seed=seed))).status_code == 201
        assert await value(gateway, "cxr_classified_studies_total") == 3
        for finding in Finding:
            # A mass of 0.7 is likely; everything else is unlikely.
            likely = 3 if finding is Finding.MASS else 0
            expected = {"likely": likely, "possible": 0, "unlikely": 3 - likely}
            for level, count in expected.items():
                series = f'cxr_findings_total{{finding="{finding.value}",level="{level}"}}'
                assert await value(gateway, series) == count
        assert await value(gateway, "cxr_study_seconds_count") == 3


async def test_what_imaging_refuses_is_counted_by_the_type_of_its_problem(tmp_path: Path) -> None:
    async with running_gateway(settings_for(tmp_path, max_upload_bytes=50_000)) as gateway:
        assert (await gateway.post(b"no image")).status_code == 415
        assert (await gateway.post(png()[:-30])).status_code == 422
        assert (await gateway.post(bytes(50_001))).status_code == 413
        for kind in ("unsupported-media", "unprocessable", "too-large"):
            assert await value(gateway, f'cxr_problems_total{{type="{kind}"}}') == 1


async def test_analyses_that_go_on_and_radiographs_that_wait_are_counted(tmp_path: Path) -> None:
    released = asyncio.Event()
    classifier = FakeService("classifier")

    async def held(request: Request) -> Response:
        await released.wait()
        return await classifier.usual(request)

    classifier.answer = held
    settings = settings_for(tmp_path, max_concurrent_analyses=1, max_studies_in_flight=5)
    async with running_gateway(settings, classifier=classifier) as gateway:
        posts = [asyncio.create_task(gateway.post(png(seed=seed))) for seed in range(3)]
        async with asyncio.timeout(30):
            while await value(gateway, "cxr_studies_waiting") != 2:
                await asyncio.sleep(0.01)
        assert await value(gateway, "cxr_studies_in_flight") == 3
        assert await value(gateway, "cxr_studies_in_flight_limit") == 5
        released.set()
        assert {(await post).status_code for post in posts} == {201}
        assert await value(gateway, "cxr_studies_waiting") == 0
        assert await value(gateway, "cxr_studies_in_flight") == 0
        for stage in ("receive", "wait", "merge", "record"):
            series = f'cxr_study_stage_seconds_count{{stage="{stage}"}}'
            assert await value(gateway, series) == 3


async def test_an_analysis_again_is_an_analysis_and_the_archives_room_is_known(
    tmp_path: Path,
) -> None:
    down = {DETECTOR_URL: Unreachable()}
    async with running_gateway(settings_for(tmp_path), transports=down) as gateway:
        study = (await gateway.post(png())).json()
        await gateway.client.post(f"/api/v1/studies/{study['id']}/rerun")
        failures = 'cxr_inference_failures_total{kind="unreachable",service="detector"}'
        assert await value(gateway, failures) == 2
        assert await value(gateway, "cxr_study_seconds_count") == 2
        free = await value(gateway, "cxr_archive_free_bytes")
        size = await value(gateway, "cxr_archive_size_bytes")
        assert 0 < free <= size
        assert "cxr_model_info{" in (await gateway.client.get("/metrics")).text


async def test_the_urgent_share_of_the_last_day_and_week_stands_beside_the_budget(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path, alert_budget=0.2, drift_refresh_s=0.05)
    classifier = FakeService("classifier")
    detector = FakeService("detector", boxes=[])
    async with running_gateway(settings, classifier=classifier, detector=detector) as gateway:
        blank = encoded(np.full((100, 120), 255, np.uint8))
        assert (await gateway.post(blank)).json()["status"] == "rejected"
        for seed, found in enumerate(({"edema": 0.9}, {}, {}, {"mass": 0.9})):
            classifier.findings = probabilities(**found)
            assert (await gateway.post(png(seed=seed))).status_code == 201
        async with asyncio.timeout(20):
            while await value(gateway, 'cxr_triaged_studies{window="week"}') != 4:
                await asyncio.sleep(0.02)
        assert await value(gateway, 'cxr_urgent_share{window="day"}') == 0.25
        assert await value(gateway, 'cxr_urgent_share{window="week"}') == 0.25
        assert await value(gateway, "cxr_alert_budget") == 0.2
