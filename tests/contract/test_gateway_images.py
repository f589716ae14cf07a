"""What a study can be looked at as, and what the system tells of itself."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from cxr_contracts import Finding
from cxr_gateway.core.schemas import SystemStatus
from cxr_gateway.core.settings import GatewaySettings
from support.dicom_images import dicom
from support.fake_gateway import (
    DETECTOR_URL,
    FakeService,
    RunningGateway,
    Unreachable,
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


@pytest.mark.parametrize(
    "path",
    ["", "/image.png", "/pixels", "/pixels.png", "/overlay.png", "/heatmaps/Mass.png", "/original"],
)
@pytest.mark.parametrize("study_id", ["0" * 26, "nobody", "..%2f..%2fetc%2fpasswd", "%00"])
async def test_an_unknown_study_is_not_found(
    gateway: RunningGateway, study_id: str, path: str
) -> None:
    refused(await gateway.client.get(f"{STUDIES}/{study_id}{path}"), 404)


async def test_the_images_show_the_radiograph_and_are_the_same_every_time(
    settings: GatewaySettings,
) -> None:
    grey = radiograph_like(120, 100)
    async with running_gateway(settings) as gateway:
        study = (await gateway.post(encoded(grey, "JPEG", quality=95))).json()
        base = f"{STUDIES}/{study['id']}"
        paths = [f"{base}/{name}" for name in ("image.png", "overlay.png", "heatmaps/Mass.png")]
        first = [await gateway.client.get(path) for path in paths]
        for answer in first:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    image = Image.open(io.BytesIO(first[0].content))
    assert (image.mode, image.size) == ("L", (120, 100))
    assert np.abs(np.asarray(image).astype(int) - grey).mean() < 3
    heatmap = Image.open(io.BytesIO(first[2].content))
    assert heatmap.size == (120, 100)
    assert "transparency" in heatmap.info
    async with running_gateway(settings) as gateway:
        for path, before in zip(paths, first, strict=True):
            answer = await gateway.client.get(path)
            assert answer.content == before.content
            unchanged = await gateway.client.get(
                path, headers={"If-None-Match": before.headers["etag"]}
            )
            assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_images_are_made_ahead_in_an_idle_moment(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", None, rendering_idle_s=0.01)
    async with running_gateway(settings) as gateway:
        await gateway.post(png())
        expected = ["image.png", "original.png", "overlay-1.png"]
        async with asyncio.timeout(20):
            while [name.rpartition("/")[2] for name in gateway.files()] != expected:
                await asyncio.sleep(0.02)


async def test_every_finding_has_a_heat_map_and_an_unread_study_has_none(
    gateway: RunningGateway,
) -> None:
    study = (await gateway.post(png())).json()
    assert study["heatmaps"] == [row["finding"] for row in study["findings"]]
    assert sorted(study["heatmaps"]) == sorted(Finding)
    for finding in Finding:
        path = f"{STUDIES}/{study['id']}/heatmaps/{finding.value}.png"
        assert (await gateway.client.get(path)).headers["content-type"] == "image/png"
    rejected = (await gateway.post(BRIGHT)).json()
    assert rejected["heatmaps"] == []
    refused(await gateway.client.get(f"{STUDIES}/{rejected['id']}/heatmaps/Mass.png"), 404)
    refused(await gateway.client.get(f"{STUDIES}/{study['id']}/heatmaps/Cat.png"), 404)
    refused(await gateway.client.get(f"{STUDIES}/{study['id']}/heatmaps/a%20cat.png"), 422)


async def test_a_rejected_study_has_an_image_and_an_overlay_that_says_why(
    gateway: RunningGateway,
) -> None:
    study = (await gateway.post(BRIGHT)).json()
    for name in ("image.png", "overlay.png"):
        assert (await gateway.client.get(f"{STUDIES}/{study['id']}/{name}")).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "..\\..\\boot.ini", "<img src=x onerror=alert(1)>.png", "a\x07b.png"],
)
async def test_a_file_name_is_shown_but_never_used(gateway: RunningGateway, name: str) -> None:
    content = png()
    study = (await gateway.post(content, name=name)).json()
    assert "\x07" not in study["file_name"]
    assert [file.rpartition("/")[2] for file in gateway.files()] == ["original.png"]
    original = await gateway.client.get(f"{STUDIES}/{study['id']}/original")
    assert original.content == content
    assert original.headers["content-disposition"] == f'attachment; filename="{study["id"]}.png"'
    assert original.headers["x-content-type-options"] == "nosniff"
    assert original.headers["content-type"] == "image/png"


async def test_the_system_names_services_models_rules_and_limits(
    settings: GatewaySettings,
) -> None:
    detector = FakeService("detector", ready=False)
    async with running_gateway(settings, detector=detector) as gateway:
        status = SystemStatus.model_validate((await gateway.client.get("/api/v1/system")).json())
        ready = await gateway.client.get("/readyz")
    assert [(service.role, service.ready) for service in status.services] == [
        ("classifier", True),
        ("detector", False),
    ]
    assert [model.role for model in status.models] == ["ood", "classifier"]
    assert status.max_upload_bytes == 50_000_000
    assert status.max_pixels == 50_000_000
    assert "image/png" in status.accepted
    assert "not a medical device" in status.intended_use.lower()
    assert {rule.priority for rule in status.triage_rules} == {"urgent", "soon", "routine"}
    assert ready.status_code == 200  # a service's health is not the gateway's


async def test_the_system_tells_the_page_of_other_viewers(tmp_path: Path) -> None:
    url = "https://pacs.example/viewer?StudyInstanceUIDs={study_uid}"
    settings = settings_for(tmp_path / "archive", viewer_links=[f"OHIF={url}"])
    async with running_gateway(settings) as gateway:
        status = (await gateway.client.get("/api/v1/system")).json()
    assert status["viewer_links"] == [{"name": "OHIF", "url": url}]


async def test_metrics_count_studies_and_failures_and_time_the_stages(
    settings: GatewaySettings,
) -> None:
    async with running_gateway(settings, transports={DETECTOR_URL: Unreachable()}) as gateway:
        await gateway.post(png())
        text = (await gateway.client.get("/metrics")).text
    assert 'cxr_studies_total{priority="soon",status="partial"} 1.0' in text
    assert 'cxr_inference_failures_total{kind="unreachable",service="detector"} 1.0' in text
    for stage in ("decode", "ood", "encode", "classifier", "detector", "archive"):
        assert f'cxr_study_stage_seconds_count{{stage="{stage}"}} 1.0' in text


async def test_the_files_own_greys_come_whole_and_are_described(gateway: RunningGateway) -> None:
    deep = radiograph_like(120, 100).astype(np.uint16) * 16
    study = (await gateway.post(dicom(deep, bits=12, ImagerPixelSpacing=[0.2, 0.2]))).json()
    base = f"{STUDIES}/{study['id']}"
    pixels = await gateway.client.get(f"{base}/pixels.png")
    image = Image.open(io.BytesIO(pixels.content))
    assert image.mode == "I;16"
    assert np.array_equal(np.asarray(image), deep)
    greys = (await gateway.client.get(f"{base}/pixels")).json()
    assert greys["brightest"] == deep.max()
    assert greys["spacing"] == {"mm": 0.2, "source": "ImagerPixelSpacing"}
    unchanged = await gateway.client.get(
        f"{base}/pixels.png", headers={"If-None-Match": pixels.headers["etag"]}
    )
    assert unchanged.status_code == 304
    for name in ("pixels", "pixels.png"):
        refused(await gateway.client.get(f"{STUDIES}/{'0' * 26}/{name}"), 404)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
async def test_the_saved_image_is_turned_with_its_boxes_and_its_map(
    gateway: RunningGateway, turned: int, mirrored: bool
) -> None:
    deep = radiograph_like(900, 1200).astype(np.uint16) * 16
    study = (await gateway.post(dicom(deep, bits=12))).json()
    path = f"{STUDIES}/{study['id']}/overlay.png"
    size = (1200, 900) if turned % 180 else (900, 1200)

    async def drawn(**look: Any) -> npt.NDArray[np.int_]:
        answer = await gateway.client.get(path, params=look)
        assert answer.status_code == 200, answer.text
        image = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
        return image[: size[1] if look.get("turned") is not None else 1200].astype(int)

    def as_turned(upright: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
        return np.rot90(np.fliplr(upright) if mirrored else upright, -turned // 90)

    look = {"mirrored": mirrored, "turned": turned}
    plain = await drawn(boxes=False, **look)
    assert plain.shape[:2] == size[::-1]
    assert np.array_equal(plain, as_turned(await drawn(boxes=False)))
    mapped = await drawn(boxes=False, heatmap="Mass", opacity=1, **look)
    upright = as_turned(await drawn(boxes=False, heatmap="Mass", opacity=1))
    assert np.abs(mapped - upright).max() <= 1
    # The frame of the first box lies where its corners were turned to; its label is elsewhere.
    boxed = await drawn(**look)
    changed = (boxed != plain).any(axis=2)
    box = study["boxes"][0]
    outline = np.zeros((1200, 900), bool)
    x = slice(round(box["x_min"]), round(box["x_max"]))
    y = slice(round(box["y_min"]), round(box["y_max"]))
    outline[y, x.start] = outline[y, x.stop - 1] = outline[y.start, x] = outline[y.stop - 1, x] = 1
    assert changed[as_turned(outline.astype(int)).astype(bool)].all()


async def test_the_saved_image_is_drawn_as_one_looks_at_it(gateway: RunningGateway) -> None:
    deep = radiograph_like(640, 700).astype(np.uint16) * 16
    study = (await gateway.post(dicom(deep, bits=12))).json()
    path = f"{STUDIES}/{study['id']}/overlay.png"

    async def drawn(**look: str) -> npt.NDArray[np.int_]:
        answer = await gateway.client.get(path, params=look)
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))[:700].astype(int)

    plain = await drawn(boxes="false")
    expected = np.clip((deep.astype(float) - 1000) / 1000, 0, 1) * 255
    windowed = await drawn(boxes="false", black="1000", white="2000")
    assert np.abs(windowed[..., 0] - expected).max() <= 1
    inverted = await drawn(boxes="false", black="1000", white="2000", inverted="true")
    assert np.array_equal(inverted, 255 - windowed)
    boxed = await drawn()
    assert (boxed != plain).any(axis=2).sum() > 100
    hidden = {box["finding"] for box in study["boxes"]}
    answer = await gateway.client.get(path, params={"hide": sorted(hidden)})
    unboxed = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))[:700]
    assert np.array_equal(unboxed, plain)
    mapped = await drawn(boxes="false", heatmap="Mass", opacity="1")
    assert (mapped != plain).any()
    named = await drawn(boxes="false", identifiers="true")
    assert np.argwhere((named != plain).any(axis=2))[:, 0].max() < 100
    assert (named != plain).any()
    for wrong in (
        {"black": "5"},
        {"black": "5", "white": "5"},
        {"heatmap": "a cat"},
        {"turned": "45"},
        {"turned": "360"},
    ):
        refused(await gateway.client.get(path, params=wrong), 422)
