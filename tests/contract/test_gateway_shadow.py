"""Shadows: they read what was answered, are recorded and never shown, and hold nobody up."""

import asyncio
import json
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxr_contracts import Region
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    SHA,
    FakeService,
    Unreachable,
    box,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png
from support.shadows import (
    NEW_SHA,
    WITH_SHADOWS,
    FourServices,
    GatewayWithShadows,
    running_with_shadows,
    until,
)


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, **WITH_SHADOWS)


def quick(tmp_path: Path, **more: object) -> GatewaySettings:
    return settings_for(tmp_path / "archive", **{**WITH_SHADOWS, **more})


def classifier(**given: float) -> FakeService:
    return FakeService("classifier", sha256=NEW_SHA, findings=probabilities(**given))


async def test_a_shadows_answer_is_recorded_with_what_would_have_followed_and_not_shown(
    settings: GatewaySettings,
) -> None:
    # Edema at twice its threshold is urgent; a mass, as shown, is not.
    services = FourServices(
        shadow_classifier=classifier(edema=0.8),
        shadow_detector=FakeService("detector", sha256=NEW_SHA, boxes=[]),
    )
    async with running_with_shadows(settings, services) as gateway:
        study = await gateway.read(png())
        by_classifier, by_detector = await gateway.recorded(2)
        assert await gateway.get(f"/api/v1/studies/{study['id']}") == study
        assert services.shadow_classifier.received == services.classifier.received
    assert NEW_SHA not in json.dumps(study)
    assert by_classifier["study_id"] == by_detector["study_id"] == study["id"]
    assert (by_classifier["model_sha256"], by_classifier["current_sha256"]) == (NEW_SHA, SHA)
    assert (by_classifier["current_priority"], by_classifier["priority"]) == ("soon", "urgent")
    assert by_classifier["current_ms"] == study["timings_ms"]["classifier"]
    assert by_classifier["duration_ms"] > 0
    findings = json.loads(by_classifier["answer_json"])["findings"]
    assert (findings[0]["finding"], findings[0]["probability"]) == ("Edema", 0.8)
    assert (by_detector["current_boxes"], by_detector["boxes"]) == (1, 0)
    assert json.loads(by_detector["answer_json"]) == {"findings": [], "boxes": []}


async def test_a_shadow_that_fails_is_recorded_as_failing_and_the_study_is_whole(
    tmp_path: Path,
) -> None:
    async def broken(_request: Request) -> Response:
        return JSONResponse({}, 500)

    services = FourServices(
        shadow_classifier=FakeService("classifier", sha256=NEW_SHA, answer=broken)
    )
    settings = quick(tmp_path, shadow_detector_url=None)
    async with running_with_shadows(settings, services) as gateway:
        study = await gateway.read(png())
        [row] = await gateway.recorded(1)
        assert await gateway.readings("classifier", "failed") == 1
    assert (study["status"], study["problems"]) == ("complete", [])
    assert (row["error"], row["answer_json"], row["model_sha256"]) == ("error", None, NEW_SHA)
    assert "status 500" in row["detail"]


async def test_a_shadow_that_is_away_from_the_start_holds_nothing_up(tmp_path: Path) -> None:
    services = FourServices()
    transports = {**services.transports(), WITH_SHADOWS["shadow_classifier_url"]: Unreachable()}
    settings = quick(tmp_path, shadow_detector_url=None)
    async with running_gateway(settings, transports=transports) as running:
        gateway = GatewayWithShadows(running, services, settings)
        assert (await gateway.read(png()))["status"] == "complete"
        [status, _] = (await gateway.get("/api/v1/models"))["roles"]
    assert status["shadow"] is None
    assert status["active"]["ready"]


async def test_a_shadow_that_is_behind_drops_studies_and_counts_them(tmp_path: Path) -> None:
    asked, released = asyncio.Event(), asyncio.Event()
    shadow = classifier()

    async def slow(request: Request) -> Response:
        asked.set()
        await released.wait()
        return await shadow.usual(request)

    shadow.answer = slow
    settings = quick(tmp_path, shadow_detector_url=None, shadow_queue_length=2)
    async with running_with_shadows(settings, FourServices(shadow_classifier=shadow)) as gateway:
        await gateway.read(png(seed=0))
        await asked.wait()
        # It has one and two wait, so the other two are not for it; all are answered meanwhile.
        for seed in range(1, 5):
            await gateway.read(png(seed=seed))
        assert await gateway.readings("classifier", "dropped") == 2
        released.set()
        await gateway.recorded(3)


async def test_a_shadow_waits_while_somebody_is_served(tmp_path: Path) -> None:
    services, asked, released = FourServices(), asyncio.Event(), asyncio.Event()
    settings = quick(tmp_path, shadow_detector_url=None)

    async def slow(request: Request) -> Response:
        asked.set()
        await released.wait()
        return await services.detector.usual(request)

    async with running_with_shadows(settings, services) as gateway:
        with gateway.parts.pipeline.admit(None):
            await gateway.read(png(seed=1))
            services.detector.answer = slow
            second = asyncio.create_task(gateway.read(png(seed=2)))
            await asked.wait()
            assert services.shadow_classifier.asked == 0
            released.set()
            await second
            assert services.shadow_classifier.asked == 0
        await gateway.recorded(2)


async def test_what_was_not_read_by_the_role_is_not_compared(tmp_path: Path) -> None:
    async def down(_request: Request) -> Response:
        return JSONResponse({}, 500)

    services = FourServices(classifier=FakeService("classifier", answer=down))
    async with running_with_shadows(quick(tmp_path), services) as gateway:
        assert (await gateway.read(png()))["status"] == "partial"
        [row] = await gateway.recorded(1)
        assert row["role"] == "detector"
        refused(await gateway.gateway.client.get("/api/v1/shadow/classifier"), 404)


async def test_a_shadow_of_the_same_model_reads_nothing(tmp_path: Path) -> None:
    services = FourServices(shadow_classifier=FakeService("classifier"))
    async with running_with_shadows(quick(tmp_path), services) as gateway:
        await gateway.read(png())
        [row] = await gateway.recorded(1)
        assert row["role"] == "detector"
    assert services.shadow_classifier.asked == 0


async def test_the_report_counts_what_was_recorded(settings: GatewaySettings) -> None:
    services = FourServices(shadow_classifier=classifier(mass=0.5))
    async with running_with_shadows(settings, services) as gateway:
        for seed, shown in enumerate([0.7, 0.6, 0.2, 0.2]):
            services.classifier.findings = probabilities(mass=shown)
            await gateway.read(png(seed=seed))
            await gateway.recorded(2 * (seed + 1))
        report = await gateway.get("/api/v1/shadow/classifier")
        boxes = await gateway.get("/api/v1/shadow/detector")
    assert (report["recorded"], report["answered"], report["failures"]) == (4, 4, [])
    mass = next(one for one in report["findings"] if one["finding"] == "Mass")
    # Twice likely to possible, twice unlikely to possible.
    assert (mass["same_level"], mass["shadow_higher"], mass["shadow_lower"]) == (0, 2, 2)
    # |0.7-0.5| + |0.6-0.5| + 2 * |0.2-0.5|, over four radiographs.
    assert (mass["agreement"], mass["mean_absolute_difference"]) == (0.0, 0.225)
    assert len(report["findings"]) == 14
    assert report["shadow"]["sha256"] == NEW_SHA
    assert report["current_sha256"] == SHA
    # All four have a box of a mass, which is `soon` whatever the classifier says.
    assert report["priority_changes"] == 0
    assert report["priorities"] == [{"current": "soon", "shadow": "soon", "studies": 4}]
    assert (report["boxes_per_image_current"], report["boxes_per_image_shadow"]) == (1.0, 1.0)
    assert (boxes["recorded"], boxes["findings"]) == (4, [])


async def test_a_radiograph_that_is_gone_is_lost_to_the_shadow_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    settings = quick(tmp_path, shadow_detector_url=None)
    async with running_with_shadows(settings) as gateway:
        files = gateway.parts.archive.files
        study = await gateway.read(png())
        await gateway.recorded(1)
        await gateway.read(png(seed=1))
        await gateway.recorded(2)
        # The radiograph of a third study is gone before the shadow comes to it.
        with gateway.parts.pipeline.admit(None):
            third = await gateway.read(png(seed=2))
            files.remove_study(third["id"])

        async def lost() -> bool:
            return await gateway.readings("classifier", "lost") == 1

        await until(lost, "the lost reading was not counted")
        await gateway.read(png(seed=3))
        await gateway.recorded(3)
        assert await gateway.get(f"/api/v1/studies/{study['id']}") == study


async def test_boxes_of_a_shadow_are_cut_by_its_own_thresholds(tmp_path: Path) -> None:
    boxes = [
        box(Region.MASS, 0.6, 10, 20, 40, 50),
        box(Region.NODULE, 0.5, 1, 2, 9, 9),
        box(Region.EFFUSION, 0.2, 1, 2, 9, 9, above_threshold=False),
    ]
    detector = FakeService("detector", sha256=NEW_SHA, boxes=boxes)
    settings = quick(tmp_path, shadow_classifier_url=None)
    services = FourServices(shadow_detector=detector)
    async with running_with_shadows(settings, services) as gateway:
        await gateway.read(png())
        [row] = await gateway.recorded(1)
    assert (row["current_boxes"], row["boxes"]) == (1, 2)
