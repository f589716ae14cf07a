"""Triage by a fitted model over HTTP: scores, causes, thresholds that are tuned, and the list."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxr_contracts import NO_BOX_SCORE, Finding, LevelsSource, Region
from cxr_gateway.analysis.triage_folder import TriageModelError
from cxr_gateway.archive.triage_thresholds import SiteThresholds, changing_thresholds
from cxr_gateway.audit import by_the_machine
from cxr_gateway.core.schemas import SystemStatus
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    DETECTOR_URL,
    FakeService,
    RunningGateway,
    Unreachable,
    box,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png
from support.triage_models import a_triage_model, write_triage_model

STUDIES = "/api/v1/studies"


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    path = write_triage_model(tmp_path / "triage", a_triage_model())
    return settings_for(
        tmp_path / "archive", database_url, triage_dir=path.parents[1], triage_refresh_s=0.05
    )


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    detector = FakeService("detector", boxes=[])
    async with running_gateway(settings, detector=detector) as running:
        yield running


async def read(gateway: RunningGateway, seed: int = 0, **found: float) -> dict[str, Any]:
    gateway.classifier.findings = probabilities(**found)
    response = await gateway.post(png(seed=seed))
    assert response.status_code == 201, response.text
    study: dict[str, Any] = response.json()
    return study


async def system(gateway: RunningGateway) -> SystemStatus:
    response = await gateway.client.get("/api/v1/system")
    return SystemStatus.model_validate_json(response.content)


async def test_a_study_has_scores_thresholds_and_the_cause_also_in_the_list(
    gateway: RunningGateway,
) -> None:
    study = await read(gateway, pneumothorax=0.95, mass=0.9)
    triage = study["triage"]
    # Nothing else is beyond the usual: 1 - (1 - 0.95) (1 - 0.05) for edema, and no box.
    assert triage["priority"] == "urgent"
    assert triage["score"] == pytest.approx(1 - 0.05 * 0.95 * (1 - NO_BOX_SCORE), abs=1e-6)
    assert (triage["urgent_threshold"], triage["soon_threshold"]) == (0.9, 0.65)
    assert triage["cause"] == {
        "finding": "Pneumothorax",
        "region": None,
        "value": 0.95,
        "usual": 0.05,
        "level": "likely",
        "box": None,
    }
    assert triage["model"]["name"] == "one--other"
    [listed] = (await gateway.client.get(STUDIES)).json()["items"]
    assert listed["triage"] == triage
    assert listed["worklist"] == {"state": "new", "by": None, "at": None, "to": None}


async def test_boxes_are_asked_for_down_to_what_counts_as_none(gateway: RunningGateway) -> None:
    gateway.detector.boxes = [
        box(Region.PNEUMOTHORAX, 0.96, 1, 2, 30, 40, above_threshold=False),
        box(Region.FRACTURE, 0.2, 1, 2, 30, 40, above_threshold=False),
    ]
    study = await read(gateway)
    assert gateway.detector.queries == [f"min_score={NO_BOX_SCORE:g}"]
    assert gateway.classifier.queries == [f"explain={len(Finding)}"]
    [shown] = study["boxes"]
    cause = study["triage"]["cause"]
    assert (shown["finding"], cause["region"], cause["box"]) == ("Pneumothorax", "Pneumothorax", 0)


async def test_with_a_service_down_levels_decide_and_nothing_sinks(
    settings: GatewaySettings,
) -> None:
    async with running_gateway(settings, transports={DETECTOR_URL: Unreachable()}) as gateway:
        study = await read(gateway)
        assert study["triage"]["priority"] == "soon"
        assert (study["triage"]["score"], study["triage"]["model"]) == (None, None)
        status = await system(gateway)
    assert status.triage.model is None
    assert status.triage.urgent_threshold is None


async def test_the_system_tells_budgets_thresholds_and_what_was_measured_on_test_patients(
    gateway: RunningGateway,
) -> None:
    triage = (await system(gateway)).triage
    assert triage.model is not None
    assert (triage.alert_budget, triage.soon_budget) == (0.1, 0.25)
    assert (triage.urgent_threshold, triage.soon_threshold) == (0.9, 0.65)
    assert (triage.thresholds_from, triage.tuned_at, triage.tuned_on) == ("reference", None, None)
    assert [row.model_dump() for row in triage.measured] == [
        {"priority": "urgent", "n_called": 100, "n_immediate": 40, "n_same_day": 70},
        {"priority": "routine", "n_called": 500, "n_immediate": 10, "n_same_day": 100},
    ]


async def test_another_budget_moves_the_thresholds_and_has_no_measured_meaning(
    settings: GatewaySettings,
) -> None:
    other = settings.model_copy(update={"alert_budget": 0.4, "soon_budget": 0.6})
    async with running_gateway(other) as gateway:
        triage = (await system(gateway)).triage
    # Both together are all radiographs, so every one is soon at least.
    assert (triage.urgent_threshold, triage.soon_threshold) == (0.6, 0.0)
    assert triage.measured == []


async def test_no_budget_is_no_alert(settings: GatewaySettings) -> None:
    none = settings.model_copy(update={"alert_budget": 0.0, "soon_budget": 0.0})
    async with running_gateway(none, detector=FakeService("detector", boxes=[])) as gateway:
        study = await read(gateway, pneumothorax=0.99, edema=0.99)
    assert study["triage"]["priority"] == "routine"


async def test_what_the_site_tuned_holds_at_a_running_gateway_and_after_a_restart(
    settings: GatewaySettings,
) -> None:
    detector = FakeService("detector", boxes=[])
    async with running_gateway(settings, detector=detector) as gateway:
        before = await system(gateway)
        assert before.triage.model is not None
        tuned = SiteThresholds(0.3, 0.25, 0.2, 0.3, 240, datetime(2026, 5, 4, tzinfo=UTC))
        with changing_thresholds(settings) as log:
            event = by_the_machine("triage tune")
            log.add(before.triage.model.sha256, tuned, "ada", event)
        async with asyncio.timeout(20):
            while (await system(gateway)).triage.thresholds_from != "site":
                await asyncio.sleep(0.02)
        # Urgent by the tuned threshold, routine by the reference's.
        study = await read(gateway, seed=1, edema=0.35)
        assert study["triage"]["priority"] == "urgent"
    async with running_gateway(settings, detector=detector) as gateway:
        triage = (await system(gateway)).triage
        assert (triage.thresholds_from, triage.tuned_on) == ("site", 240)
        assert triage.tuned_at == tuned.set_at
        assert (triage.alert_budget, triage.soon_budget) == (0.2, 0.3)
        with changing_thresholds(settings) as log:
            log.add(before.triage.model.sha256, None, "ada", by_the_machine("triage tune --reset"))
    async with running_gateway(settings, detector=detector) as gateway:
        assert (await system(gateway)).triage == before.triage


async def test_the_list_is_ordered_by_the_score_within_a_priority(gateway: RunningGateway) -> None:
    ids = [
        (await read(gateway, seed=1, edema=0.91))["id"],
        (await read(gateway, seed=2, edema=0.97))["id"],
        (await read(gateway, seed=3, edema=0.93))["id"],
    ]
    items = (await gateway.client.get(STUDIES)).json()["items"]
    assert [item["id"] for item in items] == [ids[1], ids[2], ids[0]]


async def test_a_study_is_opened_done_and_new_again(gateway: RunningGateway) -> None:
    first, second = [(await read(gateway, seed=seed, edema=0.95))["id"] for seed in (1, 2)]
    path = f"{STUDIES}/{second}/worklist"
    assert (await gateway.client.get(path)).json() == {
        "state": "new",
        "by": None,
        "at": None,
        "to": None,
    }
    opened = (await gateway.client.put(path, json={"state": "opened"})).json()
    assert (opened["state"], opened["by"]) == ("opened", "local")
    assert (await gateway.client.put(path, json={"state": "done"})).json()["state"] == "done"
    items = (await gateway.client.get(STUDIES)).json()["items"]
    assert [(item["id"], item["worklist"]["state"]) for item in items] == [
        (first, "new"),
        (second, "done"),
    ]
    assert (await gateway.client.get(path)).json() == items[1]["worklist"]
    await gateway.client.put(path, json={"state": "new"})
    items = (await gateway.client.get(STUDIES)).json()["items"]
    assert [item["id"] for item in items] == [second, first]
    audit = (await gateway.client.get("/api/v1/audit", params={"study_id": second})).json()
    assert [one["action"] for one in audit["items"]].count("setWorklist") == 3


@pytest.mark.parametrize("body", [{}, {"state": "gone"}, {"state": "done", "by": "eve"}, []])
async def test_what_is_no_state_is_refused(gateway: RunningGateway, body: Any) -> None:
    study = await read(gateway)
    path = f"{STUDIES}/{study['id']}/worklist"
    refused(await gateway.client.put(path, json=body), 422)
    refused(await gateway.client.put(f"{STUDIES}/{'0' * 26}/worklist", json={"state": "done"}), 404)
    assert (await gateway.client.get(path)).json()["state"] == "new"


async def test_levels_and_maps_are_told_as_the_service_tells_them(gateway: RunningGateway) -> None:
    status = await system(gateway)
    classifier, detector = status.services
    assert (classifier.levels, classifier.maps_are_evidence) == (None, None)
    gateway.classifier.info = {
        "levels": LevelsSource.DERIVED.value,
        "finding_levels": [{"finding": "Mass", "possible": None, "likely": None}],
        "maps_are_evidence": False,
    }
    status = await system(gateway)
    classifier, detector = status.services
    assert (classifier.levels, classifier.maps_are_evidence) == (LevelsSource.DERIVED, False)
    assert [line.finding for line in status.finding_levels] == [Finding.MASS]
    assert (detector.levels, detector.maps_are_evidence) == (None, None)


async def test_a_model_that_nobody_calibrated_is_told_of_with_every_study(
    gateway: RunningGateway,
) -> None:
    assert (await read(gateway))["calibrated"] is None  # of a service of before it was said

    async def imported(request: Request) -> Response:
        answer = gateway.classifier.body(1, 1, request) | {"calibrated": False, "cams": []}
        return JSONResponse(answer)

    gateway.classifier.answer = imported
    gateway.classifier.info = {"licence": "MIT", "calibrated": False, "has_maps": False}
    study = await read(gateway, seed=1)
    assert (study["calibrated"], study["heatmaps"], study["status"]) == (False, [], "complete")
    again = (await gateway.client.get(f"{STUDIES}/{study['id']}")).json()
    assert again["calibrated"] is False
    classifier, detector = (await system(gateway)).services
    assert (classifier.licence, classifier.calibrated, classifier.has_maps) == ("MIT", False, False)
    assert (detector.licence, detector.calibrated, detector.has_maps) == (None, None, None)


async def test_an_answer_whose_level_contradicts_its_numbers_is_none(
    gateway: RunningGateway,
) -> None:
    gateway.classifier.findings = probabilities(mass=0.7)
    gateway.classifier.findings[0]["level"] = "possible"
    study = (await gateway.post(png())).json()
    assert study["status"] == "partial"
    [problem] = study["problems"]
    assert problem["kind"] == "invalid-answer"
    assert "level of Mass" in problem["detail"]


@pytest.mark.parametrize("content", [b"{", b'{"role": "triage"}'])
async def test_a_broken_model_stops_the_start_with_a_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = write_triage_model(tmp_path / "triage", a_triage_model())
    path.write_bytes(content)
    settings = settings_for(tmp_path / "archive", triage_dir=path.parents[1])
    with pytest.raises(TriageModelError, match="is no triage model"):
        async with running_gateway(settings):
            pass


async def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", triage_dir=tmp_path / "nowhere")
    with pytest.raises(TriageModelError, match="no folder of triage models at"):
        async with running_gateway(settings):
            pass
