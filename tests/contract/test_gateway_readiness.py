"""`/readyz` answers 200 where a study could be kept, or where what is kept can be read."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from cxr_gateway.archive import schema
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import png


async def becomes(gateway: RunningGateway, status: int) -> None:
    for _ in range(200):
        if (await gateway.client.get("/readyz")).status_code == status:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"/readyz does not become {status}")


async def test_a_database_that_takes_no_writes_is_not_ready(
    tmp_path: Path, database_url: str | None
) -> None:
    settings = settings_for(tmp_path / "archive", database_url, readiness_interval_s=0.05)
    async with running_gateway(settings) as gateway:
        await becomes(gateway, 200)
        engine = create_engine(settings.resolved_database_url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE heartbeats RENAME TO elsewhere"))
        await becomes(gateway, 503)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO heartbeats"))
        engine.dispose()
        await becomes(gateway, 200)


async def test_a_server_that_only_reads_is_not_ready(
    tmp_path: Path, database_url: str | None
) -> None:
    if database_url is None:
        pytest.skip("of a server")
    schema.migrate(database_url, 5)
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT")
    name = engine.url.database
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()
    settings = settings_for(
        tmp_path / "archive", database_url, migrate_at_start=False, readiness_interval_s=0.05
    )
    async with running_gateway(settings) as gateway:
        refused(await gateway.client.get("/readyz"), 503)


async def test_a_full_database_stays_in_service_for_those_who_read(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", readiness_interval_s=0.05)
    full = False

    def limit(connection: object) -> None:
        pages = 1 if full else 1 << 30
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]
        connection.rollback()  # type: ignore[attr-defined]

    event.listen(Engine, "engine_connect", limit)
    try:
        async with running_gateway(settings) as gateway:
            study = (await gateway.post(png())).json()["id"]
            full = True
            await asyncio.sleep(0.3)
            assert (await gateway.client.get("/readyz")).status_code == 200
            assert (await gateway.client.get(f"/api/v1/studies/{study}")).status_code == 200
    finally:
        event.remove(Engine, "engine_connect", limit)
