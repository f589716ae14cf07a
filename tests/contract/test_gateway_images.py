"""What a study can be looked at as, and what the system tells of itself."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_gateway.core.schemas import SystemStatus
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    DETECTOR_URL,
    ReaderStand,
    Stand,
    Unreachable,
    refused,
    settings_for,
    standing_gateway,
)
from support.images import encoded, png, radiograph_like

STUDIES = "/api/v1/studies"
BLANK = encoded(np.full((90, 90), 254, np.uint8))


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


@pytest.fixture
async def stand(settings: GatewaySettings) -> AsyncIterator[Stand]:
    async with standing_gateway(settings) as running:
        yield running


@pytest.mark.parametrize(
    "path",
    ["", "/image.png", "/overlay.png", "/heatmaps/Mass.png", "/original"],
)
@pytest.mark.parametrize("study_id", ["0" * 26, "nobody", "..%2f..%2fetc%2fpasswd", "%00"])
async def test_an_unknown_study_is_not_found(stand: Stand, study_id: str, path: str) -> None:
    refused(await stand.client.get(f"{STUDIES}/{study_id}{path}"), 404)


async def test_the_pictures_show_the_film_and_are_the_same_every_time(
    settings: GatewaySettings,
) -> None:
    grey = radiograph_like(120, 100)
    async with standing_gateway(settings) as stand:
        study = (await stand.post(encoded(grey, "JPEG", quality=95))).json()
        base = f"{STUDIES}/{study['id']}"
        paths = [f"{base}/{name}" for name in ("image.png", "overlay.png", "heatmaps/Mass.png")]
        first = [await stand.client.get(path) for path in paths]
        for answer in first:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    image = Image.open(io.BytesIO(first[0].content))
    assert (image.mode, image.size) == ("L", (120, 100))
    assert np.abs(np.asarray(image).astype(int) - grey).mean() < 3
    heatmap = Image.open(io.BytesIO(first[2].content))
    assert heatmap.size == (120, 100)
    assert "transparency" in heatmap.info
    async with standing_gateway(settings) as stand:
        for path, before in zip(paths, first, strict=True):
            answer = await stand.client.get(path)
            assert answer.content == before.content
            unchanged = await stand.client.get(
                path, headers={"If-None-Match": before.headers["etag"]}
            )
            assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_pictures_are_made_ahead_in_an_idle_moment(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", None, rendering_idle_s=0.01)
    async with standing_gateway(settings) as stand:
        await stand.post(png())
        expected = ["image.png", "original.png", "overlay-1.png"]
        async with asyncio.timeout(20):
            while [name.rpartition("/")[2] for name in stand.files()] != expected:
                await asyncio.sleep(0.02)


async def test_there_is_no_heat_map_of_a_finding_that_was_not_explained(stand: Stand) -> None:
    study = (await stand.post(png())).json()
    assert study["heatmaps"] == ["Mass", "Atelectasis", "Cardiomegaly"]
    refused(await stand.client.get(f"{STUDIES}/{study['id']}/heatmaps/Hernia.png"), 404)
    refused(await stand.client.get(f"{STUDIES}/{study['id']}/heatmaps/Cat.png"), 422)


async def test_a_rejected_study_has_a_picture_and_an_overlay_that_says_why(stand: Stand) -> None:
    study = (await stand.post(BLANK)).json()
    for name in ("image.png", "overlay.png"):
        assert (await stand.client.get(f"{STUDIES}/{study['id']}/{name}")).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..\\..\\boot.ini", "<img src=x onerror=alert(1)>.png", "a\x07b.png"],
)
async def test_a_file_name_is_shown_but_never_used(stand: Stand, name: str) -> None:
    content = png()
    study = (await stand.post(content, name=name)).json()
    assert "\x07" not in study["file_name"]
    assert [file.rpartition("/")[2] for file in stand.files()] == ["original.png"]
    original = await stand.client.get(f"{STUDIES}/{study['id']}/original")
    assert original.content == content
    assert original.headers["content-disposition"] == f'attachment; filename="{study["id"]}.png"'
    assert original.headers["x-content-type-options"] == "nosniff"
    assert original.headers["content-type"] == "image/png"


async def test_the_system_names_readers_models_rules_and_limits(
    settings: GatewaySettings,
) -> None:
    detector = ReaderStand("detector", ready=False)
    async with standing_gateway(settings, detector=detector) as stand:
        status = SystemStatus.model_validate((await stand.client.get("/api/v1/system")).json())
        ready = await stand.client.get("/readyz")
    assert [(reader.role, reader.ready) for reader in status.services] == [
        ("classifier", True),
        ("detector", False),
    ]
    assert [model.role for model in status.models] == ["ood", "classifier"]
    assert status.max_upload_bytes == 50_000_000
    assert status.max_pixels == 50_000_000
    assert "image/png" in status.accepted
    assert "not a medical device" in status.intended_use.lower()
    assert {rule.priority for rule in status.triage_rules} == {"urgent", "soon", "routine"}
    assert ready.status_code == 200  # a reader's health is not the gateway's


async def test_metrics_count_studies_and_failures_and_time_the_stages(
    settings: GatewaySettings,
) -> None:
    async with standing_gateway(settings, transports={DETECTOR_URL: Unreachable()}) as stand:
        await stand.post(png())
        text = (await stand.client.get("/metrics")).text
    assert 'cxr_studies_total{priority="soon",status="partial"} 1.0' in text
    assert 'cxr_inference_failures_total{kind="unreachable",service="detector"} 1.0' in text
    for stage in ("decode", "ood", "encode", "classifier", "detector", "archive"):
        assert f'cxr_study_stage_seconds_count{{stage="{stage}"}} 1.0' in text
