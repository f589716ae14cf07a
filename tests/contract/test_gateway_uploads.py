"""What bad uploads get: a problem that says what was found, and nothing left in the archive."""

import asyncio
import io
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from cxr_contracts import PROBLEM_MEDIA_TYPE, Problem
from support.fake_gateway import RunningGateway, running_gateway, settings_for
from support.images import encoded, png, png_header_of, radiograph_like

STUDIES = "/api/v1/studies"
BOUNDARY = "a-boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
MAX_BYTES = 300_000


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    settings = settings_for(
        tmp_path / "archive", max_upload_bytes=MAX_BYTES, upload_idle_timeout_s=0.3
    )
    async with running_gateway(settings) as running:
        yield running


async def refused(gateway: RunningGateway, response: httpx.Response, status: int) -> Problem:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    assert gateway.files() == []
    assert (await gateway.client.get(STUDIES)).json()["total"] == 0
    assert gateway.classifier.asked == gateway.detector.asked == 0
    return Problem.model_validate_json(response.content)


def animated() -> bytes:
    frames = [Image.fromarray(radiograph_like(seed=seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


GREY = Image.fromarray(radiograph_like())
BAD_FILES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "empty"),
    "text": (b"not an image at all", 415, "text"),
    "html": (b"<html><script>alert(1)</script></html>", 415, "HTML"),
    "gif": (encoded(GREY, "GIF"), 415, "GIF"),
    "tiff": (encoded(GREY, "TIFF"), 415, "TIFF"),
    "truncated png": (png()[:2000], 422, "truncated"),
    "truncated jpeg": (encoded(GREY, "JPEG")[:1000], 422, "truncated"),
    "animated": (animated(), 415, "animated"),
    "cmyk": (encoded(GREY.convert("CMYK"), "JPEG"), 415, "CMYK"),
    "alpha": (encoded(GREY.convert("RGBA")), 415, "alpha"),
    "bomb": (png_header_of(20_000, 20_000), 413, "megapixels"),
    "no pixels": (Path(str(get_testdata_file("rtplan.dcm"))).read_bytes(), 422, "PixelData"),
}


@pytest.mark.parametrize(("content", "status", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
async def test_a_bad_file_is_told_what_was_found_and_leaves_nothing(
    gateway: RunningGateway, content: bytes, status: int, words: str
) -> None:
    problem = await refused(gateway, await gateway.post(content), status)
    assert words.lower() in problem.detail.lower()


@pytest.mark.parametrize(
    "name", ["radiograph.dcm", "radiograph.exe", "radiograph", "radiograph.jpg"]
)
async def test_a_file_is_what_its_content_says_and_not_its_name(
    gateway: RunningGateway, name: str
) -> None:
    response = await gateway.post(png(), name=name)
    assert response.status_code == 201
    assert response.json()["image"]["source"] == "png"


async def test_a_colour_photograph_is_rejected_with_reason_and_score(
    gateway: RunningGateway,
) -> None:
    response = await gateway.post(encoded(np.full((64, 64, 3), (200, 40, 40), np.uint8)))
    study = response.json()
    assert (response.status_code, study["status"]) == (201, "rejected")
    assert "colour image" in study["ood"]["reason"]
    assert 0 <= study["ood"]["score"] <= 1
    assert (study["findings"], study["boxes"], study["triage"]) == ([], [], None)


async def test_a_dicom_of_another_modality_is_rejected_by_its_tag(gateway: RunningGateway) -> None:
    content = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    response = await gateway.post(content, name="head.dcm")
    assert response.status_code == 201
    study = response.json()
    assert study["status"] == "rejected"
    assert not study["ood"]["accepted"]
    assert 0 <= study["ood"]["score"] <= 1
    assert "CT" in study["ood"]["reason"]
    assert gateway.classifier.asked == 0


def part(name: str = "file", content: bytes = b"", extra: str = '; filename="a.png"') -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
BAD_FORMS: dict[str, tuple[bytes, int, str]] = {
    "no field": (END, 422, "there is none"),
    "another field": (part("image", png()) + END, 422, "`image`"),
    "a second field": (part("file", png()) + part("note", b"x", "") + END, 422, "`note`"),
    "two files": (part("file", png()) + part("file", png()) + END, 422, "there are more"),
    "no file name": (part("file", png(), "") + END, 422, "must be a file"),
    "no name": (part("", png()) + END, 422, "Unknown form field"),
    "cut in the file": ((part("file", png()))[:900], 400, "cut short"),
    "no end": (part("file", png()), 400, "cut short"),
    "nothing": (b"", 400, "cut short"),
    "no boundary in the body": (b"hello" * 10, 400, "malformed"),
    "endless header": (f"--{BOUNDARY}\r\nA: {'x' * 10_000}".encode(), 400, "malformed"),
}


@pytest.mark.parametrize(("body", "status", "words"), BAD_FORMS.values(), ids=BAD_FORMS.keys())
async def test_a_bad_form_is_refused_and_leaves_nothing(
    gateway: RunningGateway, body: bytes, status: int, words: str
) -> None:
    response = await gateway.client.post(STUDIES, content=body, headers=MULTIPART)
    assert words in (await refused(gateway, response, status)).detail


@pytest.mark.parametrize(
    "kind",
    ["application/json", "image/gif", "multipart/form-data", "multipart/mixed; boundary=a", ""],
)
async def test_a_request_that_is_no_form_is_unsupported(gateway: RunningGateway, kind: str) -> None:
    response = await gateway.client.post(STUDIES, content=png(), headers={"Content-Type": kind})
    assert "multipart/form-data" in (await refused(gateway, response, 415)).detail


async def chunks(content: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_file_over_the_limit_is_refused_while_it_comes(
    gateway: RunningGateway, declared: bool
) -> None:
    body = part("file", bytes(MAX_BYTES + 1)) + END
    response = await gateway.client.post(
        STUDIES, content=body if declared else chunks(body), headers=MULTIPART
    )
    problem = await refused(gateway, response, 413)
    assert problem.extensions()["max_bytes"] >= MAX_BYTES


async def test_a_file_of_exactly_the_limit_is_let_in(gateway: RunningGateway) -> None:
    radiograph = png()
    body = part("file", radiograph + bytes(MAX_BYTES - len(radiograph))) + END
    response = await gateway.client.post(STUDIES, content=chunks(body), headers=MULTIPART)
    assert response.status_code in (201, 422)  # as decoding thinks of what follows the PNG's end


async def test_any_cut_of_the_request_into_pieces_is_the_same_file(gateway: RunningGateway) -> None:
    radiograph = png()
    body = part("file", radiograph) + END
    for size in (1, 7, 8191):
        response = await gateway.client.post(STUDIES, content=chunks(body, size), headers=MULTIPART)
        assert response.status_code in (200, 201)
    original = await gateway.client.get(f"{STUDIES}/{response.json()['id']}/original")
    assert original.content == radiograph


async def test_a_client_that_falls_silent_is_told_and_leaves_nothing(
    gateway: RunningGateway,
) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield part("file", png())[:1000]
        await asyncio.sleep(60)

    response = await gateway.client.post(STUDIES, content=stalled(), headers=MULTIPART)
    problem = await refused(gateway, response, 408)
    assert "Nothing came for 0.3 s" in problem.detail


async def test_receiving_a_large_file_costs_no_memory(tmp_path: Path) -> None:
    """40 MB of which nothing but the piece that is being written is ever in memory."""
    piece = bytes(65_536)

    async def large() -> AsyncIterator[bytes]:
        yield part("file", b"")[:-2]
        for _ in range(640):
            yield piece

    async with running_gateway(settings_for(tmp_path / "archive")) as gateway:
        tracemalloc.start()
        try:
            response = await gateway.client.post(STUDIES, content=large(), headers=MULTIPART)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await refused(gateway, response, 400)  # the form's end never came
    assert peak < 8_000_000


async def test_problems_do_not_quote_markup_of_the_upload_as_markup(
    gateway: RunningGateway,
) -> None:
    body = part("<script>alert(1)</script>", b"x") + END
    response: Any = await gateway.client.post(STUDIES, content=body, headers=MULTIPART)
    await refused(gateway, response, 422)
    # JSON, with a header that forbids a browser to take it for anything else.
    assert response.headers["x-content-type-options"] == "nosniff"
