"""Departments: what one has is not there for another, by whatever way it is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import client_as, closed_gateway, closed_settings, send
from support.fake_gateway import RunningGateway, refused, running_gateway
from support.images import png

RADIOGRAPH = png()
OTHER_RADIOGRAPH = png(seed=2)
IMAGES = ("image.png", "overlay.png", "heatmaps/Mass.png", "original")


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return closed_settings(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(settings) as running:
        yield running


def clinician(gateway: RunningGateway, department: str | None) -> httpx.AsyncClient:
    return client_as(gateway, Role.CLINICIAN, department=department)


async def total(client: httpx.AsyncClient) -> int:
    return int((await client.get("/api/v1/studies")).json()["total"])


async def test_another_departments_study_is_like_one_that_is_not_there(
    gateway: RunningGateway,
) -> None:
    async with clinician(gateway, "radiology") as own, clinician(gateway, "surgery") as other:
        address = (await send(own, RADIOGRAPH)).headers["location"]
        missing = f"/api/v1/studies/{'0' * 26}"
        for path in ("", *(f"/{name}" for name in IMAGES)):
            assert (await own.get(address + path)).status_code == 200
            hidden = refused(await other.get(address + path), 404)
            absent = refused(await other.get(missing + path), 404)
            assert (hidden.type, hidden.detail) == (absent.type, absent.detail)
        refused(await other.post(f"{address}/rerun"), 404)
        assert (await own.post(f"{address}/rerun")).status_code == 200
        assert (await total(own), await total(other)) == (1, 0)
        filtered = await other.get("/api/v1/studies?status=complete&priority=urgent")
        assert filtered.json()["items"] == []


async def test_the_same_radiograph_of_two_departments_is_two_studies(
    gateway: RunningGateway,
) -> None:
    async with clinician(gateway, "radiology") as one, clinician(gateway, "surgery") as two:
        first, second = await send(one, RADIOGRAPH), await send(two, RADIOGRAPH)
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["id"] != second.json()["id"]
        assert gateway.classifier.asked == 2
        again = await send(two, RADIOGRAPH)
        assert (again.status_code, again.json()["id"]) == (200, second.json()["id"])


async def test_an_idempotency_key_is_a_departments_own(gateway: RunningGateway) -> None:
    key = {"Idempotency-Key": "order-1"}
    async with clinician(gateway, "radiology") as one, clinician(gateway, "surgery") as two:
        assert (await send(one, RADIOGRAPH, **key)).status_code == 201
        assert (await send(two, OTHER_RADIOGRAPH, **key)).status_code == 201
        # A replayed request is the same study; a request that only pretends to be is refused.
        assert (await send(one, RADIOGRAPH, **key)).status_code == 200
        assert refused(await send(one, OTHER_RADIOGRAPH, **key), 409).type.endswith(":conflict")


async def test_who_is_of_no_department_sees_all_and_uploads_for_none(
    gateway: RunningGateway,
) -> None:
    async with (
        clinician(gateway, "radiology") as radiology,
        client_as(gateway, Role.ADMIN) as admin,
    ):
        address = (await send(radiology, RADIOGRAPH)).headers["location"]
        assert (await admin.get(address)).status_code == 200
        assert (await admin.get(f"{address}/overlay.png")).status_code == 200
        mine = await send(admin, RADIOGRAPH)
        assert mine.status_code == 201
        assert await total(admin) == 2
        refused(await radiology.get(mine.headers["location"]), 404)


async def test_what_was_there_before_is_seen_by_those_who_see_all(
    settings: GatewaySettings,
) -> None:
    open_settings = settings.model_copy(
        update={"oidc_issuer": "", "access": "open", "oidc_department_claim": ""}
    )
    async with running_gateway(open_settings) as gateway:
        before = (await gateway.post(RADIOGRAPH)).headers["location"]
    async with closed_gateway(settings) as gateway:
        async with client_as(gateway, Role.VIEWER, department="radiology") as viewer:
            refused(await viewer.get(before), 404)
        async with client_as(gateway, Role.VIEWER) as viewer:
            assert (await viewer.get(before)).status_code == 200
