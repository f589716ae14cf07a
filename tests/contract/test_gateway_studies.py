"""The REST API over the real archive (SQLite and PostgreSQL), with services that are ASGI apps."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Finding, Region
from cxr_gateway.core.schemas import Study, StudyPage
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    Answer,
    FakeService,
    RunningGateway,
    Unreachable,
    box,
    never,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import bright, encoded, png, radiograph_like

STUDIES = "/api/v1/studies"
BRIGHT = encoded(bright())


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def test_a_radiograph_becomes_a_complete_study(gateway: RunningGateway) -> None:
    content = png(120, 100)
    response = await gateway.post(content, name="thorax.png")
    assert response.status_code == 201
    study = Study.model_validate_json(response.content)
    assert response.headers["location"] == f"{STUDIES}/{study.id}"
    assert study.status == "complete"
    assert study.content_sha256 == hashlib.sha256(content).hexdigest()
    assert (study.image.width, study.image.height, study.image.source) == (120, 100, "png")
    assert study.top_findings[0].finding is Finding.MASS
    assert len(study.top_findings) == 3
    assert sorted(row.finding for row in study.findings) == sorted(Finding)
    assert study.boxes[0].model_dump() == {
        "finding": Region.MASS,
        "score": 0.6,
        "detector_score": 0.6,
        "classifier_probability": 0.7,
        "x_min": 10.0,
        "y_min": 20.0,
        "x_max": 40.0,
        "y_max": 50.0,
    }
    assert study.triage is not None
    assert study.triage.priority == "soon"
    assert [model.role for model in study.models] == ["ood", "classifier", "detector"]
    assert study.timings_ms.classifier is not None
    assert study.timings_ms.total >= study.timings_ms.decode
    assert study.problems == []


async def test_the_services_get_the_decoded_pixels(gateway: RunningGateway) -> None:
    grey = radiograph_like(90, 70)
    await gateway.post(encoded(grey))
    for asked in (gateway.classifier, gateway.detector):
        (received,) = asked.received
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(received))), grey)


async def test_one_request_id_goes_through_all_services(gateway: RunningGateway) -> None:
    response = await gateway.post(png(), **{"X-Request-ID": "order-4711"})
    assert response.headers["x-request-id"] == "order-4711"
    assert gateway.classifier.request_ids == gateway.detector.request_ids == ["order-4711"]


async def test_a_study_is_read_back_byte_by_byte_as_it_was_answered(
    gateway: RunningGateway,
) -> None:
    posted = await gateway.post(png())
    read = await gateway.client.get(posted.headers["location"])
    assert read.status_code == 200
    assert read.content == posted.content


async def test_the_same_file_is_the_same_study_and_is_not_read_again(
    gateway: RunningGateway,
) -> None:
    first = await gateway.post(png(), name="a.png")
    second = await gateway.post(png(), name="b.png")
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.content == first.content
    assert gateway.classifier.asked == gateway.detector.asked == 1


async def test_the_same_file_sent_ten_times_at_once_is_one_study(gateway: RunningGateway) -> None:
    answers = await asyncio.gather(*(gateway.post(png()) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len({answer.content for answer in answers}) == 1
    assert gateway.classifier.asked == 1
    assert len(gateway.files()) == 1


async def test_two_gateways_on_one_archive_make_one_study_of_one_file(
    settings: GatewaySettings,
) -> None:
    async with running_gateway(settings) as one, running_gateway(settings) as two:
        answers = await asyncio.gather(*(s.post(png()) for s in (one, two, one, two)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(one.files()) == 1


async def test_an_idempotency_key_belongs_to_one_file(gateway: RunningGateway) -> None:
    key = {"Idempotency-Key": "order-4711"}
    first = await gateway.post(png(seed=1), **key)
    again = await gateway.post(png(seed=1), **key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    problem = refused(await gateway.post(png(seed=2), **key), 409)
    assert problem.type == "urn:cxr:problem:conflict"
    assert len(gateway.files()) == 1
    # A file that is known already takes the key, too.
    assert (await gateway.post(png(seed=1), **{"Idempotency-Key": "second"})).status_code == 200
    refused(await gateway.post(png(seed=2), **{"Idempotency-Key": "second"}), 409)


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "ä".encode().decode("latin-1")])
async def test_an_idempotency_key_that_is_no_key_is_refused(
    gateway: RunningGateway, key: str
) -> None:
    header = {b"Idempotency-Key": key.encode("latin-1")}
    response = await gateway.client.post(STUDIES, files={"file": ("a.png", png())}, headers=header)
    refused(response, 422)
    assert gateway.files() == []


async def test_an_out_of_distribution_image_is_a_rejected_study_and_no_service_sees_it(
    gateway: RunningGateway,
) -> None:
    response = await gateway.post(BRIGHT)
    assert response.status_code == 201
    study = Study.model_validate_json(response.content)
    assert study.status == "rejected"
    assert study.ood.model_dump() == {
        "accepted": False,
        "score": pytest.approx(0.07, abs=0.01),
        "threshold": 0.1,
        "reason": "The image is blank.",
    }
    assert (study.findings, study.boxes, study.triage, study.heatmaps) == ([], [], None, [])
    assert gateway.classifier.asked == gateway.detector.asked == 0
    assert (await gateway.post(BRIGHT)).status_code == 200


@pytest.mark.parametrize("answer", [None, never])
async def test_an_unreadable_image_has_no_findings_and_waits_for_no_service(
    settings: GatewaySettings, answer: Answer | None
) -> None:
    classifier, detector = (FakeService(role, answer=answer) for role in ("classifier", "detector"))
    coarse = encoded(radiograph_like() // 32 * 32)
    services = running_gateway(settings, classifier=classifier, detector=detector)
    async with services as gateway, asyncio.timeout(10):
        response = await gateway.post(coarse)
        study = Study.model_validate_json(response.content)
        assert (response.status_code, study.status) == (201, "rejected")
        assert study.ood.reason is not None
        assert "levels of grey" in study.ood.reason
        assert study.quality is not None
        assert study.quality.unreadable == study.ood.reason
        assert (study.findings, study.boxes, study.heatmaps, study.problems) == ([], [], [], [])
        assert [model.role for model in study.models] == ["ood"]
        # What was begun for it holds nothing up.
        assert (await gateway.post(BRIGHT)).json()["status"] == "rejected"


@pytest.mark.parametrize("missing", ["classifier", "detector"])
async def test_with_one_service_down_a_study_is_partial_and_names_it(
    settings: GatewaySettings, missing: str
) -> None:
    url = CLASSIFIER_URL if missing == "classifier" else DETECTOR_URL
    async with running_gateway(settings, transports={url: Unreachable()}) as gateway:
        response = await gateway.post(png())
        assert response.status_code == 201
        study = Study.model_validate_json(response.content)
    assert study.status == "partial"
    (problem,) = study.problems
    assert (problem.service, problem.kind) == (missing, "unreachable")
    assert missing in problem.detail
    assert study.triage is not None
    if missing == "classifier":
        assert (study.findings, study.heatmaps) == ([], [])
        assert study.boxes[0].classifier_probability is None
        assert study.triage.priority == "soon"
        assert "classifier did not answer" in study.triage.reason
    else:
        assert study.boxes == []
        assert "detector did not answer" in study.triage.reason


async def test_a_partial_study_becomes_complete_when_it_is_run_again(
    settings: GatewaySettings,
) -> None:
    down = {DETECTOR_URL: Unreachable()}
    async with running_gateway(settings, transports=down) as gateway:
        partial = (await gateway.post(png(), name="first.png")).json()
        overlay = await gateway.client.get(f"{STUDIES}/{partial['id']}/overlay.png")
    async with running_gateway(settings) as gateway:
        response = await gateway.client.post(f"{STUDIES}/{partial['id']}/rerun")
        assert response.status_code == 200
        study = response.json()
        assert study["status"] == "complete"
        for kept in ("id", "received_at", "file_name", "content_sha256"):
            assert study[kept] == partial[kept]
        # The overlay shows the new reading, and the old one is gone.
        new_overlay = await gateway.client.get(
            f"{STUDIES}/{partial['id']}/overlay.png",
            headers={"If-None-Match": overlay.headers["etag"]},
        )
        assert new_overlay.status_code == 200
        assert new_overlay.content != overlay.content
        assert [name.rpartition("/")[2] for name in gateway.files()] == [
            "original.png",
            "overlay-2.png",
        ]
        # What is complete is not read again.
        again = await gateway.client.post(f"{STUDIES}/{partial['id']}/rerun")
        assert again.content == response.content
        assert gateway.detector.asked == 1


async def test_with_both_services_down_the_study_is_kept_and_can_be_run_again(
    settings: GatewaySettings,
) -> None:
    down = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with running_gateway(settings, transports=down) as gateway:
        problem = refused(await gateway.post(png()), 503)
        assert problem.type == "urn:cxr:problem:inference-unavailable"
        study_id = problem.extensions()["study_id"]
        assert {p["service"] for p in problem.extensions()["problems"]} == {
            "classifier",
            "detector",
        }
        kept = (await gateway.client.get(f"{STUDIES}/{study_id}")).json()
        assert (kept["status"], kept["triage"]) == ("failed", None)
        assert len(gateway.files()) == 1
        # Sent again, or run again, it is tried again, and is still the same study.
        for answer in (
            await gateway.post(png()),
            await gateway.client.post(f"{STUDIES}/{study_id}/rerun"),
        ):
            assert refused(answer, 503).extensions()["study_id"] == study_id
    async with running_gateway(settings) as gateway:
        answer = await gateway.post(png())
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["status"]) == (study_id, "complete")


async def test_the_list_shows_the_most_urgent_first(settings: GatewaySettings) -> None:
    classifier = FakeService("classifier")
    async with running_gateway(
        settings, classifier=classifier, detector=FakeService("detector", boxes=[])
    ) as gateway:
        ids: dict[str, str] = {}
        for name, row in (
            ("routine", {}),
            ("urgent", {"pneumothorax": 0.8}),
            ("soon", {"mass": 0.9}),
        ):
            classifier.findings = probabilities(**row)
            ids[name] = (await gateway.post(png(seed=len(ids)))).json()["id"]
        ids["rejected"] = (await gateway.post(BRIGHT)).json()["id"]
        pages = [await gateway.client.get(STUDIES, params={"limit": 3})]
        cursor = pages[0].json()["next_cursor"]
        pages.append(await gateway.client.get(STUDIES, params={"limit": 3, "cursor": cursor}))
        items = [item for page in pages for item in StudyPage.model_validate(page.json()).items]
        assert [item.id for item in items] == [
            ids[name] for name in ("urgent", "soon", "routine", "rejected")
        ]
        assert pages[1].json()["next_cursor"] is None
        narrowed = await gateway.client.get(
            STUDIES, params={"priority": ["urgent", "routine"], "status": "complete"}
        )
        assert [item["id"] for item in narrowed.json()["items"]] == [ids["urgent"], ids["routine"]]


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"cursor": "nonsense"}, 400),
        ({"limit": 0}, 422),
        ({"stauts": "failed"}, 422),
        ({"status": "done"}, 422),
    ],
)
async def test_a_list_that_cannot_be_made_is_a_problem(
    gateway: RunningGateway, params: dict[str, Any], status: int
) -> None:
    refused(await gateway.client.get(STUDIES, params=params), status)


async def test_an_unknown_study_cannot_be_run_again(gateway: RunningGateway) -> None:
    refused(await gateway.client.post(f"{STUDIES}/{'0' * 26}/rerun"), 404)


async def test_a_thousand_clients_are_not_all_let_in(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", None, max_studies_in_flight=1)
    gone_on = asyncio.Event()
    classifier = FakeService("classifier")

    async def waiting(request: Any) -> Any:
        await gone_on.wait()
        return await classifier.usual(request)

    classifier.answer = waiting
    async with running_gateway(settings, classifier=classifier) as gateway:
        first = asyncio.create_task(gateway.post(png(seed=1)))
        while not classifier.asked:
            await asyncio.sleep(0.01)
        second = await gateway.post(png(seed=2))
        assert refused(second, 503).type == "urn:cxr:problem:overloaded"
        assert second.headers["retry-after"] == "1"
        gone_on.set()
        assert (await first).status_code == 201


async def test_an_analysis_goes_on_when_its_client_leaves(gateway: RunningGateway) -> None:
    begun = asyncio.Event()

    async def slow(request: Any) -> Any:
        begun.set()
        await asyncio.sleep(0.2)
        return await gateway.classifier.usual(request)

    gateway.classifier.answer = slow
    upload = asyncio.create_task(gateway.post(png()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    async with asyncio.timeout(10):
        while not (page := (await gateway.client.get(STUDIES)).json())["total"]:
            await asyncio.sleep(0.02)
    assert page["items"][0]["status"] == "complete"
    assert len(gateway.files()) == 1


async def test_boxes_at_the_edge_are_cut_to_the_image(settings: GatewaySettings) -> None:
    detector = FakeService("detector", boxes=[box(Region.EFFUSION, 0.9, -0.5, 0, 120.5, 100.25)])
    async with running_gateway(settings, detector=detector) as gateway:
        (found,) = (await gateway.post(png(120, 100))).json()["boxes"]
    assert (found["x_min"], found["x_max"], found["y_max"]) == (0.0, 120.0, 100.0)
