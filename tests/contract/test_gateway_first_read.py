"""Read first, then reveal: a reader's opinion is kept before the models' answers are shown."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import client_as, closed_gateway, closed_settings, send
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import png

STUDIES = "/api/v1/studies"


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, read_first_departments="*")


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def test_a_first_opinion_is_kept_once_beside_what_the_models_said(
    gateway: RunningGateway,
) -> None:
    study = (await gateway.post(png())).json()
    path = f"{STUDIES}/{study['id']}/first-read"
    before = (await gateway.client.get(path)).json()
    assert before == {"study_id": study["id"], "given": False, "reads": []}
    opinion = {"findings": ["Mass", "Effusion"], "comment": " left "}
    kept = await gateway.client.put(path, json=opinion)
    assert kept.status_code == 200, kept.text
    (read,) = kept.json()["reads"]
    assert (read["by"], read["mine"], read["comment"]) == ("local", True, "left")
    assert read["findings"] == ["Effusion", "Mass"]
    likely = {x["finding"] for x in study["findings"] if x["level"] == "likely"}
    assert {x["finding"] for x in read["shown"] if x["level"] == "likely"} == likely
    # Sent twice, it is kept once; another one comes too late.
    assert (await gateway.client.put(path, json=opinion)).json() == kept.json()
    refused(await gateway.client.put(path, json={"findings": []}), 409)
    assert (await gateway.client.get(path)).json() == kept.json()
    refused(await gateway.client.put(path, json={"findings": ["Cat"]}), 422)
    refused(await gateway.client.put(path, json={"findings": [], "comment": "x" * 100_000}), 422)
    refused(await gateway.client.get(f"{STUDIES}/{'0' * 26}/first-read"), 404)


async def test_first_opinions_are_counted_and_leave_as_a_table(gateway: RunningGateway) -> None:
    for seed, findings in enumerate((["Mass"], ["Mass", "Hernia"], [])):
        study = (await gateway.post(png(seed=seed))).json()["id"]
        answer = await gateway.client.put(
            f"{STUDIES}/{study}/first-read", json={"findings": findings}
        )
        assert answer.status_code == 200, answer.text
    report = (await gateway.client.get("/api/v1/agreement")).json()
    shares = {share["finding"]: share for share in report["first_reads"]}
    mass, hernia = shares["Mass"], shares["Hernia"]
    assert (mass["read"], mass["both"], mass["model_only"], mass["reader_only"]) == (3, 2, 1, 0)
    assert mass["share"] == pytest.approx(2 / 3, abs=1e-4)
    assert (hernia["both"], hernia["reader_only"], hernia["neither"]) == (0, 1, 2)
    table = await gateway.client.get("/api/v1/feedback/first-reads.csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    seen = [row for row in rows if row["finding"] == "Mass"]
    assert [row["seen"] for row in seen] == ["True", "True", "False"]
    assert {row["model_level"] for row in seen} == {"likely"}


async def test_others_opinions_are_told_to_whoever_has_given_one(
    tmp_path: Path, database_url: str | None
) -> None:
    settings = closed_settings(tmp_path, database_url, read_first_departments="a, b")
    async with closed_gateway(settings) as gateway:
        one = client_as(gateway, Role.CLINICIAN, department="a")
        other = client_as(gateway, Role.CLINICIAN, department="a")
        viewer = client_as(gateway, Role.VIEWER, department="a")
        away = client_as(gateway, Role.CLINICIAN, department="c")
        assert (await one.get("/api/v1/me")).json()["reads_first"] is True
        assert (await away.get("/api/v1/me")).json()["reads_first"] is False
        study = (await send(one, png())).json()["id"]
        path = f"{STUDIES}/{study}/first-read"
        await one.put(path, json={"findings": ["Mass"]})
        assert (await other.get(path)).json()["reads"] == []
        both = (await other.put(path, json={"findings": []})).json()["reads"]
        assert [(read["mine"], read["findings"]) for read in both] == [
            (False, ["Mass"]),
            (True, []),
        ]
        refused(await viewer.put(path, json={"findings": []}), 403)
        refused(await away.put(path, json={"findings": []}), 404)


async def test_a_study_is_assigned_to_somebody_until_it_is_opened(gateway: RunningGateway) -> None:
    study = (await gateway.post(png())).json()["id"]
    path = f"{STUDIES}/{study}/worklist"
    assigned = (await gateway.client.put(path, json={"state": "assigned"})).json()
    assert (assigned["state"], assigned["by"], assigned["to"]) == ("assigned", "local", "local")
    other = (await gateway.client.put(path, json={"state": "assigned", "to": "Dr. Roe"})).json()
    assert (other["state"], other["to"]) == ("assigned", "Dr. Roe")
    listed = await gateway.client.get(STUDIES, params={"worklist": "assigned"})
    assert [item["worklist"]["to"] for item in listed.json()["items"]] == ["Dr. Roe"]
    opened = (await gateway.client.put(path, json={"state": "opened"})).json()
    assert (opened["state"], opened["to"]) == ("opened", None)
    refused(await gateway.client.put(path, json={"state": "done", "to": "Dr. Roe"}), 422)
