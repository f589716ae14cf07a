"""Promotion and rollback: by the database, at every gateway, without a restart."""

import asyncio
import logging
from pathlib import Path

import pytest

from cxr_gateway.archive.database import open_engine
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.shadow.evidence import Evidence
from cxr_gateway.shadow.promoting import NotPromoted
from support.fake_gateway import SHA, FakeService, probabilities, settings_for
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


async def answering(gateway: GatewayWithShadows, seed: int) -> dict[str, str]:
    """Which model answers of each role, by a new study."""
    study = await gateway.read(png(seed=seed))
    return {model["role"]: model["sha256"] for model in study["models"] if model["role"] != "ood"}


async def test_a_promoted_model_answers_the_next_study_and_the_old_one_is_the_shadow(
    settings: GatewaySettings,
) -> None:
    services = FourServices()
    services.shadow_classifier.findings = probabilities(edema=0.9)
    async with running_with_shadows(settings, services) as gateway:
        assert await answering(gateway, 1) == {"classifier": SHA, "detector": SHA}
        await gateway.recorded(2)
        assert (await gateway.promote("classifier", Evidence(min_answers=1))).sha256 == NEW_SHA
        await gateway.parts.router.refresh()
        study = await gateway.read(png(seed=2))
        assert study["top_findings"][0]["finding"] == "Edema"
        assert {model["sha256"] for model in study["models"][1:]} == {NEW_SHA, SHA}
        rows = await gateway.recorded(4)
        system = await gateway.get("/api/v1/system")
        models = await gateway.get("/api/v1/models")
    beside = [(row["role"], row["model_sha256"], row["current_sha256"]) for row in rows]
    assert beside == [
        ("classifier", NEW_SHA, SHA),
        ("detector", NEW_SHA, SHA),
        ("classifier", SHA, NEW_SHA),
        ("detector", NEW_SHA, SHA),
    ]
    assert [service["model"]["sha256"] for service in system["services"]] == [NEW_SHA, SHA]
    [classifier, detector] = models["roles"]
    assert classifier["active"]["model"]["sha256"] == NEW_SHA
    assert classifier["shadow"]["model"]["sha256"] == SHA
    assert detector["shadow"]["model"]["sha256"] == NEW_SHA
    [entry] = models["history"]
    assert (entry["number"], entry["made_by"], entry["undoes"]) == (1, "tester", None)
    assert (entry["model"]["sha256"], entry["before"]["sha256"]) == (NEW_SHA, SHA)


async def test_a_rollback_undoes_the_last_promotion_and_then_the_one_before(
    settings: GatewaySettings,
) -> None:
    async with running_with_shadows(settings) as gateway:
        await gateway.promote("classifier")
        await gateway.promote("classifier")
        # Back and forth: the first model answers by the second promotion.
        await gateway.parts.router.refresh()
        assert (await answering(gateway, 1))["classifier"] == SHA
        assert (await gateway.roll_back("classifier")).sha256 == NEW_SHA
        await gateway.parts.router.refresh()
        assert (await answering(gateway, 2))["classifier"] == NEW_SHA
        assert (await gateway.roll_back("classifier")).sha256 == SHA
        await gateway.parts.router.refresh()
        assert (await answering(gateway, 3))["classifier"] == SHA
        with pytest.raises(NotPromoted, match="No promotion of a classifier is left"):
            await gateway.roll_back("classifier")
        history = (await gateway.get("/api/v1/models"))["history"]
    assert [(one["number"], one["undoes"]) for one in history] == [
        *((4, 1), (3, 2)),
        *((2, None), (1, None)),
    ]


async def test_every_running_gateway_follows_within_its_poll(tmp_path: Path) -> None:
    services, settings = FourServices(), quick(tmp_path, promotion_poll_s=0.02)
    async with (
        running_with_shadows(settings, services) as one,
        running_with_shadows(settings, services) as other,
    ):
        await one.promote("detector")

        async def both() -> bool:
            systems = [await gateway.get("/api/v1/system") for gateway in (one, other)]
            return all(found["services"][1]["model"]["sha256"] == NEW_SHA for found in systems)

        await until(both, "a gateway did not follow")
        await one.roll_back("detector")

        async def back() -> bool:
            return not await both()

        await until(back, "no gateway followed back")


async def test_a_gateway_that_starts_later_goes_by_what_was_promoted(tmp_path: Path) -> None:
    settings = quick(tmp_path)
    async with running_with_shadows(settings) as gateway:
        await gateway.promote("classifier")
    async with running_with_shadows(settings) as gateway:
        assert (await answering(gateway, 1))["classifier"] == NEW_SHA


async def test_the_promoted_model_is_followed_to_another_address(tmp_path: Path) -> None:
    settings = quick(tmp_path)
    async with running_with_shadows(settings) as gateway:
        await gateway.promote("classifier")
    # The operator makes it the first, and a third model the shadow: nothing is to be promoted.
    moved = FourServices(
        classifier=FakeService("classifier", sha256=NEW_SHA),
        shadow_classifier=FakeService("classifier", sha256="ef" * 32),
    )
    async with running_with_shadows(settings, moved) as gateway:
        assert (await answering(gateway, 1))["classifier"] == NEW_SHA
    # And a model that merely took the promoted one's address is not promoted.
    taken = FourServices(shadow_classifier=FakeService("classifier", sha256="ef" * 32))
    async with running_with_shadows(settings, taken) as gateway:
        assert (await answering(gateway, 2))["classifier"] == SHA


async def test_a_promoted_model_that_is_away_is_missing_and_not_replaced_in_silence(
    tmp_path: Path,
) -> None:
    services, settings = FourServices(), quick(tmp_path)
    async with running_with_shadows(settings, services) as gateway:
        await gateway.promote("classifier")
        services.shadow_classifier.ready = False
        await gateway.parts.router.refresh()
        # Its readings still go to it; a service that is not ready says so itself.
        assert (await answering(gateway, 1))["classifier"] == NEW_SHA
    async with running_with_shadows(settings, services) as gateway:
        [status, _] = (await gateway.get("/api/v1/system"))["services"]
        assert not status["ready"]


async def test_a_promotion_is_refused_with_the_reason(tmp_path: Path) -> None:
    services, settings = FourServices(), quick(tmp_path)
    async with running_with_shadows(settings, services) as gateway:
        await gateway.read(png())
        await gateway.recorded(2)
        with pytest.raises(NotPromoted, match=r"has answered 1 images beside .* 2 are asked for"):
            await gateway.promote("classifier", Evidence(min_answers=2))
        services.shadow_classifier.ready = False
        with pytest.raises(NotPromoted, match="classifier at the second address is not ready"):
            await gateway.promote("classifier")
        services.shadow_detector.sha256 = SHA
        with pytest.raises(NotPromoted, match="Both addresses have the same detector"):
            await gateway.promote("detector")
        assert (await gateway.get("/api/v1/models"))["history"] == []


async def test_a_shadow_that_fails_too_often_is_refused(tmp_path: Path) -> None:
    services = FourServices()
    async with running_with_shadows(quick(tmp_path, shadow_detector_url=None), services) as gateway:
        await gateway.read(png(seed=1))
        await gateway.recorded(1)
        services.shadow_classifier.findings = []
        await gateway.read(png(seed=2))
        await gateway.recorded(2)
        with pytest.raises(NotPromoted, match="failed on 1 of 2 radiographs, more than the 10%"):
            await gateway.promote("classifier", Evidence(min_answers=1, max_failures=0.1))
        await gateway.promote("classifier", Evidence(min_answers=1, max_failures=0.5))


async def test_without_a_second_address_nothing_can_be_promoted(tmp_path: Path) -> None:
    settings = quick(tmp_path, shadow_classifier_url=None, shadow_detector_url=None)
    async with running_with_shadows(settings) as gateway:
        with pytest.raises(NotPromoted, match="set CXR_GATEWAY_SHADOW_DETECTOR_URL first"):
            await gateway.promote("detector")
        assert (await answering(gateway, 1))["detector"] == SHA


async def test_a_rollback_to_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    services = FourServices()
    async with running_with_shadows(quick(tmp_path), services) as gateway:
        await gateway.promote("classifier")
        services.classifier.sha256 = "ef" * 32
        with pytest.raises(NotPromoted, match="No address has classifier-stand 1"):
            await gateway.roll_back("classifier")


async def test_of_promotions_at_once_each_is_on_top_of_the_one_before(
    settings: GatewaySettings,
) -> None:
    async with running_with_shadows(settings) as gateway:
        await asyncio.gather(*(gateway.promote("classifier") for _ in range(4)))
        history = (await gateway.get("/api/v1/models"))["history"]
    assert [one["number"] for one in history] == [4, 3, 2, 1]
    assert [one["model"]["sha256"] for one in history] == [SHA, NEW_SHA] * 2


async def test_a_gateway_that_cannot_look_up_promotions_keeps_the_models_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = quick(tmp_path, shadow_detector_url=None)
    async with running_with_shadows(settings) as gateway:
        await gateway.promote("classifier")
        await gateway.parts.router.refresh()
        engine = open_engine(settings.resolved_database_url, 1)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE promotions RENAME TO elsewhere")
        with caplog.at_level(logging.WARNING):
            await gateway.parts.router.refresh()
        assert "promotions could not be looked up" in caplog.text
        assert (await answering(gateway, 1))["classifier"] == NEW_SHA
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO promotions")
        engine.dispose()
