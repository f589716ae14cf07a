"""HTTP as integrators' clients speak it: RFC 9110, 2046, 7578, 5987."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cxr_contracts import PROBLEM_MEDIA_TYPE
from support.fake_gateway import Stand, settings_for, standing_gateway
from support.images import png

STUDIES = "/api/v1/studies"
MULTIPART = {"content-type": "multipart/form-data; boundary=XX"}


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


def form(
    disposition: str = 'form-data; name="file"; filename="a.png"',
    *,
    before: bytes = b"",
    padding: bytes = b"",
) -> bytes:
    head = b"--XX" + padding + b"\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n"
    return before + head + png() + b"\r\n--XX--" + padding + b"\r\n"


async def post(stand: Stand, body: bytes, **headers: str) -> httpx.Response:
    return await stand.client.post(STUDIES, content=body, headers=MULTIPART | headers)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("form-data; name=\"file\"; filename*=utf-8''R%C3%B6ntgen.png", "Röntgen.png"),
        (
            'form-data; name=file; filename="=?utf-8?B?UsO2bnRnZW4ucG5n?="; '
            "filename*=utf-8''R%C3%B6ntgen.png",
            "Röntgen.png",
        ),
        ('form-data; name="file"; filename="=?utf-8?B?UsO2bnRnZW4ucG5n?="', "Röntgen.png"),
        (
            "form-data; name=\"file\"; filename=fallback.png; filename*=UTF-8''%E8%83%B8.png",
            "胸.png",
        ),
        ('form-data; name="file"; filename="Röntgen.png"', "Röntgen.png"),
        ('form-data; name="file"; filename="one; two.png"', "one; two.png"),
        ('form-data; name="file"; filename="=?unknown?X?broken"', "=?unknown?X?broken"),
    ],
)
async def test_a_file_has_its_name_however_it_is_written(
    stand: Stand, disposition: str, name: str
) -> None:
    response = await post(stand, form(disposition))
    assert response.status_code == 201, response.text
    assert response.json()["file_name"] == name


@pytest.mark.parametrize(
    "body",
    [
        form(before=b"This is a multi-part message in MIME format.\r\n"),
        form(before=b"\r\n"),
        form(padding=b"  \t"),
        form() + b"an epilogue",
    ],
)
async def test_preamble_padding_and_epilogue_are_ignored(stand: Stand, body: bytes) -> None:
    assert (await post(stand, body)).status_code == 201


async def test_what_has_no_boundary_is_no_form(stand: Stand) -> None:
    response = await post(stand, b"x" * 20_000)
    assert response.status_code == 400
    assert "boundary" in response.json()["detail"]


async def test_an_encoded_body_is_refused_by_name(stand: Stand) -> None:
    response = await post(stand, gzip.compress(form()), **{"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "Content-Encoding is gzip" in response.json()["detail"]


@pytest.mark.parametrize("path", [STUDIES, "/api/v1/system", "/api/v1/me", "/livez"])
async def test_head_is_get_without_a_body(stand: Stand, path: str) -> None:
    got, head = await stand.client.get(path), await stand.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_allow_names_every_method_of_a_path(stand: Stand) -> None:
    study = (await post(stand, form())).json()["id"]
    for path, methods in {
        STUDIES: "GET, HEAD, OPTIONS, POST",
        f"{STUDIES}/{study}": "DELETE, GET, HEAD, OPTIONS",
        f"{STUDIES}/{study}/rerun": "OPTIONS, POST",
        f"{STUDIES}/{study}/image.png": "GET, HEAD, OPTIONS",
    }.items():
        asked = await stand.client.options(path)
        assert (asked.status_code, asked.headers["allow"]) == (204, methods)
        refused = await stand.client.put(path)
        assert (refused.status_code, refused.headers["allow"]) == (405, methods)
        assert refused.headers["content-type"] == PROBLEM_MEDIA_TYPE


async def test_nothing_is_at_an_unknown_path_whatever_the_method(stand: Stand) -> None:
    for method in ("GET", "HEAD"):
        response = await stand.client.request(method, "/api/v1/nothing")
        assert response.status_code == 404


@pytest.mark.parametrize("unit", ["items=0-5", "bytes=0-9", "bytes=x", "bytes=99999999-"])
async def test_an_image_comes_whole_whatever_range_is_asked_for(stand: Stand, unit: str) -> None:
    study = (await post(stand, form())).json()["id"]
    path = f"{STUDIES}/{study}/image.png"
    whole = await stand.client.get(path)
    part = await stand.client.get(path, headers={"range": unit})
    assert (part.status_code, part.content) == (200, whole.content)
