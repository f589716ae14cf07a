"""A study deleted on request, and studies that a gateway deletes by itself."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import png

STUDIES = "/api/v1/studies"


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def test_a_deleted_study_is_gone_and_its_end_is_one_line(gateway: RunningGateway) -> None:
    study = (await gateway.post(png(), **{"Idempotency-Key": "k"})).json()["id"]
    assert (await gateway.client.get(f"{STUDIES}/{study}/overlay.png")).status_code == 200
    deleted = await gateway.client.delete(f"{STUDIES}/{study}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for place in ("", "/image.png", "/overlay.png", "/original", "/deidentified"):
        refused(await gateway.client.get(f"{STUDIES}/{study}{place}"), 404)
    refused(await gateway.client.post(f"{STUDIES}/{study}/rerun"), 404)
    refused(await gateway.client.delete(f"{STUDIES}/{study}"), 404)
    assert (await gateway.client.get(STUDIES)).json()["total"] == 0
    assert gateway.files() == []
    audit = await gateway.client.get("/api/v1/audit", params={"action": "deleteStudy"})
    assert [(line["outcome"], line["study_id"]) for line in audit.json()["items"]] == [
        (404, study),
        (204, study),
    ]


async def test_the_same_radiograph_and_key_make_a_new_study_after_a_deletion(
    gateway: RunningGateway,
) -> None:
    first = await gateway.post(png(), **{"Idempotency-Key": "k"})
    await gateway.client.delete(f"{STUDIES}/{first.json()['id']}")
    second = await gateway.post(png(90, 80), **{"Idempotency-Key": "k"})
    assert second.status_code == 201
    third = await gateway.post(png())
    assert third.status_code == 201
    assert third.json()["id"] != first.json()["id"]


async def test_of_many_that_delete_at_once_one_has_done_it(gateway: RunningGateway) -> None:
    study = (await gateway.post(png())).json()["id"]
    deletions = (gateway.client.delete(f"{STUDIES}/{study}") for _ in range(5))
    statuses = sorted([answer.status_code for answer in await asyncio.gather(*deletions)])
    assert statuses == [204, 404, 404, 404, 404]


async def test_files_that_cannot_be_removed_are_never_answered_204(
    gateway: RunningGateway, settings: GatewaySettings
) -> None:
    study = (await gateway.post(png())).json()["id"]
    [folder] = settings.archive_dir.glob(f"studies/*/{study}")
    shutil.rmtree(folder)
    folder.write_bytes(b"what no removal of a folder removes")
    problem = refused(await gateway.client.delete(f"{STUDIES}/{study}"), 503)
    assert "could not be removed" in problem.detail
    refused(await gateway.client.get(f"{STUDIES}/{study}"), 404)
    audit = await gateway.client.get("/api/v1/audit", params={"action": "deleteStudy"})
    assert [line["outcome"] for line in audit.json()["items"]] == [503, 204]


@pytest.mark.parametrize("study", ["01k6xw3m9v5t8r2q4n7j1h0g6f", "%2e%2e", "x"])
async def test_what_is_not_there_cannot_be_deleted(gateway: RunningGateway, study: str) -> None:
    refused(await gateway.client.delete(f"{STUDIES}/{study}"), 404)


async def test_a_gateway_deletes_by_itself_what_is_beyond_its_time(
    settings: GatewaySettings,
) -> None:
    async with running_gateway(settings) as gateway:
        old = (await gateway.post(png())).json()["id"]
        young = (await gateway.post(png(90, 80))).json()["id"]
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        then = datetime.now(UTC) - timedelta(days=8)
        connection.execute(
            text("UPDATE studies SET received_at = :then WHERE id = :old"),
            {"then": then.replace(tzinfo=None).isoformat(" "), "old": old},
        )
    engine.dispose()
    async with running_gateway(settings.model_copy(update={"retention_days": 7})) as gateway:
        async with asyncio.timeout(60):
            while (await gateway.client.get(STUDIES)).json()["total"] != 1:
                await asyncio.sleep(0.02)
        assert (await gateway.client.get(f"{STUDIES}/{young}")).status_code == 200
    assert {Path(name).parts[2] for name in gateway.files()} == {young}
