"""An archive that the previous release wrote is opened, migrated, and read field by field.

`support/archive_of_0_1.json` holds the rows of every table as that release wrote them at schema
0004, one study of each kind among them, and what its API answered for them.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import DateTime, MetaData, create_engine, insert, inspect

from cxr_gateway.archive import schema
from cxr_gateway.archive.api_keys import open_keys
from cxr_gateway.core.principal import Role
from cxr_gateway.core.schemas import Study
from cxr_gateway.core.settings import RENAMED, GatewaySettings
from support.databases import database_url
from support.fake_gateway import RunningGateway, running_gateway, settings_for

__all__ = ["database_url"]

FIXTURE = json.loads((Path(__file__).parents[2] / "support/archive_of_0_1.json").read_text())


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    """Of an archive with the fixture's rows, at the schema in which they were written."""
    settings = settings_for(tmp_path / "archive", database_url)
    settings.archive_dir.mkdir()
    schema.migrate(settings.resolved_database_url, 5, FIXTURE["schema"])
    engine = create_engine(settings.resolved_database_url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            times = {column.name for column in table.columns if isinstance(column.type, DateTime)}
            for row in FIXTURE["tables"].get(table.name, []):
                values = {
                    name: datetime.fromisoformat(value) if name in times and value else value
                    for name, value in row.items()
                }
                connection.execute(insert(table).values(values))
    engine.dispose()
    return settings


def in_new_names(study: dict[str, Any]) -> dict[str, Any]:
    """A study as the previous release answered it, in the names of this one."""
    renamed = {"gate": "ood", "joining": "rescoring"}
    new = {renamed.get(name, name): value for name, value in study.items()}
    for section, old, name in (("timings_ms", "gate", "ood"),):
        new[section] = {name if key == old else key: v for key, v in new[section].items()}
    new["image"] |= {"notes": [], "stored": None}
    new["patient"] |= {"issuer_of_patient_id": None}
    new["quality"] = None
    new["problems"] = [
        {"service": one["part"], "kind": one["kind"], "detail": one["detail"]}
        for one in new["problems"]
    ]
    new["models"] = [
        one | {"role": "ood" if one["role"] == "gate" else one["role"]} for one in new["models"]
    ]
    new["calibrated"] = None
    for box in new["boxes"]:
        box["detector_score"] = box["score"]
        joined = box.pop("joined_score")
        box["score"] = box["score"] if joined is None else joined
    new["findings"] = in_levels(new["findings"])
    new["top_findings"] = new["findings"][:3]
    if new["triage"] is not None:
        new["triage"] |= dict.fromkeys(
            ("score", "same_day_score", "urgent_threshold", "soon_threshold", "model")
        )
    return new


def in_levels(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Likely from twice the threshold on, and in the order of levels."""
    order = ["likely", "possible", "unlikely"]
    for row in findings:
        threshold, positive = row.pop("threshold"), row.pop("positive")
        likely = min(1.0, 2 * threshold)
        row["level"] = "likely" if row["probability"] >= likely else order[1 if positive else 2]
        row |= {"possible_threshold": threshold, "likely_threshold": likely}
    return sorted(findings, key=lambda row: (order.index(row["level"]), -row["probability"]))


def check_cause(study: dict[str, Any]) -> None:
    """The cause is what the sentence of the time begins with, and an answer of the study."""
    triage = study["triage"]
    cause = triage.pop("cause")
    if triage["priority"] == "routine" or triage["reason"].startswith("The classifier did not"):
        assert cause is None
        return
    name = (cause["region"] or cause["finding"]).replace("_", " ")
    begins = f"The detector marks {name}" if cause["region"] else f"{name} is "
    assert triage["reason"].startswith(begins)
    if cause["region"]:
        assert study["boxes"][cause["box"]]["detector_score"] == cause["value"]
    else:
        [row] = [row for row in study["findings"] if row["finding"] == cause["finding"]]
        assert (row["probability"], row["level"]) == (cause["value"], cause["level"])


async def answered(gateway: RunningGateway, path: str) -> Any:
    response = await gateway.client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_every_field_of_every_study_is_answered_in_the_new_names(
    settings: GatewaySettings,
) -> None:
    statuses = set()
    async with running_gateway(settings) as gateway:
        for study_id, before in FIXTURE["studies"].items():
            found = await answered(gateway, f"/api/v1/studies/{study_id}")
            expected = in_new_names(json.loads(json.dumps(before)))
            assert found.keys() == Study.model_fields.keys()
            Study.model_validate(found)
            if found["triage"] is not None:
                check_cause(found)
            assert found == expected
            statuses.add(found["status"])
        listed = (await answered(gateway, "/api/v1/studies"))["items"]
    assert statuses == {"complete", "partial", "failed", "rejected"}
    before = FIXTURE["answers"]["/api/v1/studies"]["items"]
    assert [one["id"] for one in listed] == [one["id"] for one in before]
    assert [one["ood"] for one in listed] == [one["gate"] for one in before]
    # What is years old does not come as one that waited.
    assert {one["worklist"]["state"] for one in listed} == {"opened"}


async def test_shadow_answers_promotions_and_statistics_are_read(
    settings: GatewaySettings,
) -> None:
    async with running_gateway(settings) as gateway:
        for role in ("classifier", "detector"):
            report = await answered(gateway, f"/api/v1/shadow/{role}")
            before = FIXTURE["answers"][f"/api/v1/shadow/{role}"]
            same = ("role", "shadow", "recorded", "answered", "failures", "priority_changes")
            assert {name: report[name] for name in same} == {name: before[name] for name in same}
            renamed = {
                "shown_sha256": "current_sha256",
                "boxes_per_film_shown": "boxes_per_image_current",
                "boxes_per_film_shadow": "boxes_per_image_shadow",
                "latency_shown": "latency_current",
            }
            assert {new: report[new] for new in renamed.values()} == {
                new: before[old] for old, new in renamed.items()
            }
            assert [one["current"] for one in report["priorities"]] == [
                one["shown"] for one in before["priorities"]
            ]
        models = await answered(gateway, "/api/v1/models")
        assert models["history"] == FIXTURE["answers"]["/api/v1/models"]["history"]
        drift = await answered(gateway, "/api/v1/drift?weeks=26")
    counted = {week["week"]: week["images"] for week in drift["weeks"] if week["images"]}
    assert sum(counted.values()) == len(FIXTURE["tables"]["study_statistics"])


async def test_a_key_of_readers_is_a_key_of_viewers(settings: GatewaySettings) -> None:
    schema.migrate(settings.resolved_database_url, 5)
    with open_keys(settings) as keys:
        found = {key.name: key for key in keys.all()}
    assert found["PACS"].roles == {Role.INTEGRATOR, Role.VIEWER}
    assert found["PACS"].department == "radiology"
    assert found["viewer"].roles == {Role.VIEWER}


def test_the_way_back_gives_the_rows_of_the_previous_release(settings: GatewaySettings) -> None:
    url = settings.resolved_database_url
    schema.migrate(url, 5)
    schema.migrate(url, 5, FIXTURE["schema"])
    engine = create_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = connection.execute(tables.tables["studies"].select()).mappings().all()
        keys = connection.execute(tables.tables["api_keys"].select()).mappings().all()
    names = {column["name"] for column in inspect(engine).get_columns("shadow_answers")}
    engine.dispose()
    assert {row["id"]: json.loads(row["result_json"]) for row in rows} == FIXTURE["studies"]
    assert {row["roles"] for row in keys} == {"integrator reader", "reader"}
    assert {"shown_sha256", "shown_ms", "shown_priority", "shown_boxes"} <= names


@pytest.mark.parametrize("old", RENAMED)
def test_a_setting_under_its_old_name_stops_the_start(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CXR_GATEWAY_{old}", "1")
    with pytest.raises(ValueError, match=f"CXR_GATEWAY_{old} is called CXR_GATEWAY_{RENAMED[old]}"):
        GatewaySettings()
