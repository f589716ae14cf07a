"""What readers say of a study's answers, over HTTP: kept, replaced, taken back, refused."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cxr_contracts import Region
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import client_as, closed_gateway, closed_settings, send
from support.fake_gateway import (
    FakeService,
    RunningGateway,
    box,
    probabilities,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png

STUDIES = "/api/v1/studies"
MASS_BOX = {"kind": "box", "index": 0, "region": "Mass"}
MASS = {"kind": "finding", "finding": "Mass"}
NODULE = {"kind": "finding", "finding": "Nodule"}
PLACE = {"x_min": 4, "y_min": 5, "x_max": 24, "y_max": 30.5}


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def a_study(gateway: RunningGateway, seed: int = 0) -> str:
    response = await gateway.post(png(seed=seed))
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def say(
    client: httpx.AsyncClient, study_id: str, *, entry: str | None = None, **change: Any
) -> httpx.Response:
    path = f"{STUDIES}/{study_id}/review/{entry or uuid.uuid4()}"
    return await client.put(path, json={"revision": 1, **change})


async def review_of(client: httpx.AsyncClient, study_id: str) -> dict[str, Any]:
    response = await client.get(f"{STUDIES}/{study_id}/review")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def counting(review: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(x["verdict"], x["label"]) for x in review["entries"] if x["counts"]]


async def test_each_answer_is_accepted_rejected_modified_and_what_was_missed_added(
    gateway: RunningGateway,
) -> None:
    study = await a_study(gateway)
    assert await review_of(gateway.client, study) == {
        "study_id": study,
        "revision": 1,
        "entries": [],
    }
    for change in (
        {"verdict": "accepted", "target": MASS, "comment": " as on the earlier one "},
        {"verdict": "rejected", "target": NODULE},
        {"verdict": "modified", "target": MASS_BOX, "label": "Nodule", "corners": PLACE},
        {"verdict": "added", "label": "Fracture", "corners": PLACE},
        {"verdict": "commented", "comment": "The patient had moved."},
    ):
        response = await say(gateway.client, study, **change)
        assert response.status_code == 200, response.text
    entries = (await review_of(gateway.client, study))["entries"]
    assert response.json()["entries"] == entries
    accepted, rejected, modified, added, commented = entries
    assert (accepted["label"], accepted["shown_level"], accepted["shown_value"]) == (
        "Mass",
        "likely",
        0.7,
    )
    assert accepted["model"]["role"] == "classifier"
    assert accepted["comment"] == "as on the earlier one"
    assert (accepted["by"], accepted["mine"], accepted["counts"]) == ("local", True, True)
    assert (rejected["target"], rejected["shown_level"]) == (NODULE, "unlikely")
    assert (modified["target"], modified["label"]) == (MASS_BOX, "Nodule")
    assert modified["corners"] == PLACE
    assert modified["model"]["role"] == "detector"
    assert (added["label"], added["corners"], added["target"]) == ("Fracture", PLACE, None)
    assert added["model"]["role"] == "detector"
    assert (commented["label"], commented["model"]) == (None, None)


async def test_a_later_word_replaces_an_earlier_one_and_taken_back_it_counts_again(
    gateway: RunningGateway,
) -> None:
    study = await a_study(gateway)
    await say(gateway.client, study, verdict="accepted", target=MASS)
    second = str(uuid.uuid4())
    replaced = (
        await say(gateway.client, study, entry=second, verdict="rejected", target=MASS)
    ).json()
    assert counting(replaced) == [("rejected", "Mass")]
    path = f"{STUDIES}/{study}/review/{second}"
    for _ in range(2):
        back = (await gateway.client.delete(path)).json()
        assert counting(back) == [("accepted", "Mass")]
        assert back["entries"][1]["withdrawn_at"] is not None


async def test_what_is_sent_twice_is_kept_once(gateway: RunningGateway) -> None:
    study, entry = await a_study(gateway), str(uuid.uuid4())
    for _ in range(2):
        response = await say(gateway.client, study, entry=entry, verdict="accepted", target=MASS)
        assert len(response.json()["entries"]) == 1
    other = await say(gateway.client, study, entry=entry, verdict="rejected", target=MASS)
    refused(other, 409)
    elsewhere = await a_study(gateway, seed=3)
    refused(await say(gateway.client, elsewhere, entry=entry, verdict="accepted", target=MASS), 409)


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"verdict": "added", "label": "Mass", "corners": PLACE | {"x_max": 4}}, "no area"),
    ({"verdict": "added", "label": "Mass", "corners": PLACE | {"y_max": 1}}, "no area"),
    ({"verdict": "added", "label": "Mass", "corners": PLACE | {"x_max": 9e5}}, "outside"),
    ({"verdict": "added", "corners": PLACE}, "needs a `label`"),
    ({"verdict": "added", "label": "Mass", "target": MASS}, "no `target`"),
    ({"verdict": "accepted"}, "needs a `target`"),
    ({"verdict": "accepted", "target": MASS, "label": "Nodule"}, "keeps its label"),
    ({"verdict": "rejected", "target": MASS_BOX, "corners": PLACE}, "keeps its label"),
    ({"verdict": "modified", "target": MASS}, "Nothing is modified"),
    ({"verdict": "modified", "target": MASS, "label": "Mass"}, "Nothing is modified"),
    ({"verdict": "modified", "target": MASS, "label": "Edema", "corners": PLACE}, "no place"),
    ({"verdict": "commented", "comment": "  \n"}, "no words"),
    ({"verdict": "added", "label": "Broken rib"}, "label"),
    ({"verdict": "maybe", "target": MASS}, "verdict"),
    ({"verdict": "accepted", "target": MASS, "comment": "x" * 100_000}, "comment"),
    ({"verdict": "accepted", "target": MASS, "comment": "a\0b"}, "comment"),
    ({"verdict": "added", "label": "Mass", "corners": PLACE | {"x_max": -1}}, "x_max"),
    ({"verdict": "accepted", "target": MASS | {"more": 1}}, "more"),
    ({"verdict": "accepted", "target": MASS, "revision": 0}, "revision"),
]


async def test_what_contradicts_itself_is_refused_with_a_sentence(gateway: RunningGateway) -> None:
    study = await a_study(gateway)
    for change, sentence in CONTRADICTIONS:
        response = await say(gateway.client, study, **change)
        refused(response, 422)
        assert sentence in response.text, change
    assert (await review_of(gateway.client, study))["entries"] == []


async def test_what_is_not_there_is_not_found(gateway: RunningGateway) -> None:
    study = await a_study(gateway)
    refused(await gateway.client.get(f"{STUDIES}/{'0' * 26}/review"), 404)
    refused(await say(gateway.client, "0" * 26, verdict="accepted", target=MASS), 404)
    refused(await gateway.client.delete(f"{STUDIES}/{study}/review/{uuid.uuid4()}"), 404)
    refused(await say(gateway.client, study, entry="1", verdict="accepted", target=MASS), 422)
    for target in (MASS_BOX | {"index": 7}, MASS_BOX | {"region": "Fracture"}):
        refused(await say(gateway.client, study, verdict="accepted", target=target), 409)


async def test_a_study_that_was_analysed_again_meanwhile_is_a_conflict(
    settings: GatewaySettings,
) -> None:
    detector = FakeService("detector", boxes=[box(Region.MASS, 0.6, 10, 20, 40, 50)])
    async with running_gateway(settings, detector=detector) as gateway:
        detector.answer = _fails
        study = await a_study(gateway)
        kept = str(uuid.uuid4())
        await say(gateway.client, study, entry=kept, verdict="accepted", target=MASS)
        detector.answer = None
        assert (await gateway.client.post(f"{STUDIES}/{study}/rerun")).json()[
            "status"
        ] == "complete"
        late = await say(gateway.client, study, verdict="rejected", target=NODULE)
        assert "analysed again" in refused(late, 409).detail
        # Its answer was lost on the way, and it is sent again.
        again = await say(gateway.client, study, entry=kept, verdict="accepted", target=MASS)
        assert again.status_code == 200
        review = await review_of(gateway.client, study)
        assert (review["revision"], counting(review)) == (2, [("accepted", "Mass")])
        now = await say(gateway.client, study, revision=2, verdict="accepted", target=MASS_BOX)
        assert counting(now.json()) == [("accepted", "Mass"), ("accepted", "Mass")]


async def _fails(_request: Any) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({}, 500)


async def test_what_no_model_answered_can_be_commented_on_alone(settings: GatewaySettings) -> None:
    async with running_gateway(settings) as gateway:
        for service in (gateway.classifier, gateway.detector):
            service.answer = _fails
        failed = (await gateway.post(png())).json()["study_id"]
        refused(await say(gateway.client, failed, verdict="added", label="Mass"), 422)
        said = await say(gateway.client, failed, verdict="commented", comment="Please again.")
        assert said.status_code == 200


async def test_two_readers_see_each_other_and_take_back_their_own_alone(
    tmp_path: Path, database_url: str | None
) -> None:
    settings = closed_settings(tmp_path / "archive", database_url)
    async with closed_gateway(settings) as gateway:
        gateway.classifier.findings = probabilities(mass=0.7)
        async with (
            client_as(gateway, Role.CLINICIAN) as one,
            client_as(gateway, Role.CLINICIAN) as two,
            client_as(gateway, Role.VIEWER) as viewer,
            client_as(gateway, Role.CLINICIAN, department="surgery") as other,
        ):
            study = (await send(one, png())).json()["id"]
            entry = str(uuid.uuid4())
            await say(one, study, entry=entry, verdict="accepted", target=MASS)
            both = (await say(two, study, verdict="rejected", target=MASS)).json()
            assert counting(both) == [("accepted", "Mass"), ("rejected", "Mass")]
            assert [x["mine"] for x in both["entries"]] == [False, True]
            refused(await two.delete(f"{STUDIES}/{study}/review/{entry}"), 404)
            assert len((await review_of(viewer, study))["entries"]) == 2
            refused(await say(viewer, study, verdict="accepted", target=MASS), 403)
            refused(await say(other, study, verdict="accepted", target=MASS), 404)
            refused(await other.get(f"{STUDIES}/{study}/review"), 404)


async def test_it_is_on_record_without_its_words_and_goes_with_its_study(
    gateway: RunningGateway,
) -> None:
    study = await a_study(gateway)
    await say(gateway.client, study, verdict="accepted", target=MASS, comment="secret words")
    audit = await gateway.client.get("/api/v1/audit", params={"study_id": study})
    [said] = [x for x in audit.json()["items"] if x["action"] == "putReviewEntry"]
    assert said["details"]["verdict"] == "accepted"
    assert "secret" not in audit.text
    assert (await gateway.client.delete(f"{STUDIES}/{study}")).status_code == 204
    refused(await gateway.client.get(f"{STUDIES}/{study}/review"), 404)
    again = await a_study(gateway)
    assert (await review_of(gateway.client, again))["entries"] == []
