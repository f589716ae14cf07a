"""The gateway whose files lie in a bucket: a real S3 server, up, down and up again."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from cxr_gateway.archive import open_archive
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.settings import GatewaySettings
from support.archives import gateway_command
from support.fake_gateway import FakeService, refused, running_gateway, settings_for
from support.images import png
from support.s3_server import S3Server, free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    running = S3Server(free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def settings(tmp_path: Path, server: S3Server) -> GatewaySettings:
    server.empty()
    return settings_for(tmp_path / "archive", **server.settings())


async def broken(_request: Request) -> Response:
    return Response(status_code=500)


async def test_a_study_is_read_kept_and_shown_from_the_bucket(
    settings: GatewaySettings, server: S3Server
) -> None:
    radiograph = png()
    async with running_gateway(settings) as gateway:
        answer = await gateway.post(radiograph)
        assert answer.status_code == 201
        study = answer.json()["id"]
        assert server.all_keys() == [f"studies/{study}/original.png"]
        assert gateway.files() == []
        address = f"/api/v1/studies/{study}"
        original = await gateway.client.get(f"{address}/original")
        assert original.content == radiograph
        assert original.headers["content-disposition"] == f'attachment; filename="{study}.png"'
        overlay = await gateway.client.get(f"{address}/overlay.png")
        assert overlay.content.startswith(b"\x89PNG")
        assert f"studies/{study}/overlay-1.png" in server.all_keys()
        tag = {"If-None-Match": overlay.headers["etag"]}
        again = await gateway.client.get(f"{address}/overlay.png", headers=tag)
        assert again.status_code == 304


async def test_a_failed_study_is_read_again_from_the_bucket(
    settings: GatewaySettings, server: S3Server
) -> None:
    down = FakeService("detector", ready=False)
    down.answer = broken
    async with running_gateway(settings, detector=down) as gateway:
        first = await gateway.post(png())
        assert first.json()["status"] == "partial"
        address = f"/api/v1/studies/{first.json()['id']}"
        await gateway.client.get(f"{address}/overlay.png")
        down.answer = None
        second = await gateway.client.post(f"{address}/rerun")
        assert second.json()["status"] == "complete"
        assert not any("overlay-1" in key for key in server.all_keys())


async def test_a_server_that_is_down_is_a_503_that_leaves_nothing_and_passes(
    settings: GatewaySettings, server: S3Server
) -> None:
    async with running_gateway(settings) as gateway:
        assert (await gateway.post(png(seed=1))).status_code == 201
        server.stop()
        try:
            started = time.monotonic()
            response = await gateway.post(png(seed=2))
            assert time.monotonic() - started < 15
            problem = refused(response, 503)
            assert "storage does not answer" in problem.detail
            assert int(response.headers["retry-after"]) > 0
            assert gateway.files() == []
            assert (await gateway.client.get("/api/v1/studies")).json()["total"] == 1
        finally:
            server.start()
        assert (await gateway.post(png(seed=2))).status_code == 201


async def test_a_start_sweeps_what_a_kill_left_in_the_bucket(
    settings: GatewaySettings, server: S3Server
) -> None:
    async with running_gateway(settings) as gateway:
        kept = (await gateway.post(png())).json()["id"]
    orphan = f"studies/{new_study_id()}/original.png"
    server.client().put_object(Bucket="radiographs", Key=orphan, Body=b"no row")
    server.client().put_object(Bucket="radiographs", Key="studies/of-somebody-else", Body=b"x")
    async with open_archive(settings):
        pass
    assert orphan in server.all_keys()  # young: it may be another gateway's, about to be committed
    time.sleep(1.1)
    old = settings.model_copy(update={"s3_sweep_age_s": 0.1})
    async with open_archive(old):
        deadline = time.monotonic() + 20
        while orphan in server.all_keys():  # swept beside the work
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    assert server.all_keys() == [f"studies/{kept}/original.png", "studies/of-somebody-else"]


def test_a_bucket_that_is_not_there_stops_the_start_with_a_sentence(
    settings: GatewaySettings,
) -> None:
    ended = gateway_command(settings.model_copy(update={"s3_bucket": "nobodys"}))
    assert ended.returncode == 2
    assert "The gateway cannot start: The archive's storage has no bucket nobodys." in ended.stderr


def test_s3_without_a_bucket_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CXR_GATEWAY_S3_BUCKET must be set"):
        settings_for(tmp_path, storage="s3")
