"""What a gateway says of its audit log in its metrics, which the alerts are about."""

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from cxr_gateway.core.settings import GatewaySettings
from support.access import client_with, closed_gateway, closed_settings
from support.archives import commanded, filled
from support.audit_logs import aged
from support.fake_gateway import RunningGateway, running_gateway, settings_for


async def metric(gateway: RunningGateway, name: str) -> float:
    text = (await gateway.client.get("/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def becomes(gateway: RunningGateway, name: str, value: float) -> None:
    for _ in range(300):
        if await metric(gateway, name) == value:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{name} does not become {value}")


def tamper(settings: GatewaySettings, *statements: str) -> None:
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


async def test_a_gateway_finds_by_itself_that_the_log_was_changed(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", audit_verify_interval_s=0.05)
    async with running_gateway(settings) as gateway:
        await becomes(gateway, "cxr_audit_chain_intact", 1)
        tamper(
            settings,
            "DROP TRIGGER audit_log_no_update",
            "UPDATE audit_log SET subject = 'another' WHERE seq = 1",
        )
        await becomes(gateway, "cxr_audit_chain_intact", 0)


async def test_the_last_backup_and_the_databases_size_are_told(
    tmp_path: Path, database_url: str | None
) -> None:
    settings = settings_for(
        tmp_path / "archive", database_url, database_volume_bytes=10_000_000_000
    )
    await filled(settings, 1)
    before = time.time()
    assert commanded(settings, "backup", "--to", str(tmp_path / "b.zip")) == 0
    # It is there already: what fails is no backup.
    assert commanded(settings, "backup", "--to", str(tmp_path / "b.zip")) == 1
    async with running_gateway(settings) as gateway:
        for _ in range(300):
            if await metric(gateway, "cxr_database_volume_bytes"):
                break
            await asyncio.sleep(0.02)
        assert abs(await metric(gateway, "cxr_backup_timestamp_seconds") - before) < 60
        assert await metric(gateway, "cxr_database_size_bytes") > 10_000
        assert abs(await metric(gateway, "cxr_clock_skew_seconds")) < 5


async def test_refused_keys_and_counted_refusals_are_told(tmp_path: Path) -> None:
    async with closed_gateway(closed_settings(tmp_path / "archive")) as gateway:
        async with client_with(gateway, "cxr_guess") as guessing:
            for _ in range(5):
                await guessing.get("/api/v1/studies")
        assert await metric(gateway, "cxr_sign_in_failures_total") == 5
        assert await metric(gateway, "cxr_audit_summarised_requests_total") == 4


async def test_a_clock_that_was_ahead_is_told(tmp_path: Path, database_url: str | None) -> None:
    settings = settings_for(tmp_path / "archive", database_url)
    await filled(settings, 0)
    engine = create_engine(settings.resolved_database_url)
    aged(engine, -10, "of a clock that was ahead")
    engine.dispose()
    async with running_gateway(settings) as gateway:
        assert await metric(gateway, "cxr_audit_clock_steps_total") == 1


@pytest.mark.parametrize("kind", ["entries", "anchors"])
async def test_what_could_not_be_shipped_is_told(tmp_path: Path, kind: str) -> None:
    target = {f"audit_{kind}_to": "file:///nowhere/at/all"}
    settings = settings_for(tmp_path / "archive", audit_ship_interval_s=0.05, **target)
    async with running_gateway(settings) as gateway:
        for _ in range(300):
            if await metric(gateway, f'cxr_audit_ship_failures_total{{kind="{kind}"}}'):
                return
            await asyncio.sleep(0.02)
    raise AssertionError("no failure is counted")
