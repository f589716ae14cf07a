"""HTTP as integrators' clients speak it: RFC 9110, 2046, 7578, 5987."""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from cxr_contracts import PROBLEM_MEDIA_TYPE
from support.fake_gateway import RunningGateway, running_gateway, settings_for
from support.images import png

STUDIES = "/api/v1/studies"
MULTIPART = {"content-type": "multipart/form-data; boundary=XX"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive")) as running:
        yield running


def form(
    disposition: str = 'form-data; name="file"; filename="a.png"',
    *,
    before: bytes = b"",
    padding: bytes = b"",
) -> bytes:
    head = b"--XX" + padding + b"\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n"
    return before + head + png() + b"\r\n--XX--" + padding + b"\r\n"


async def post(gateway: RunningGateway, body: bytes, **headers: str) -> httpx.Response:
    return await gateway.client.post(STUDIES, content=body, headers=MULTIPART | headers)


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
    gateway: RunningGateway, disposition: str, name: str
) -> None:
    response = await post(gateway, form(disposition))
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
async def test_preamble_padding_and_epilogue_are_ignored(
    gateway: RunningGateway, body: bytes
) -> None:
    assert (await post(gateway, body)).status_code == 201


async def test_what_has_no_boundary_is_no_form(gateway: RunningGateway) -> None:
    response = await post(gateway, b"x" * 20_000)
    assert response.status_code == 400
    assert "boundary" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["image/png", "application/dicom", "IMAGE/JPEG; x=y"])
async def test_a_body_may_be_the_file_itself(gateway: RunningGateway, kind: str) -> None:
    """What it is, its bytes say; the type says no more than that it is no form."""
    headers = {"content-type": kind, "content-disposition": 'attachment; filename="a.png"'}
    response = await gateway.client.post(STUDIES, content=png(), headers=headers)
    assert response.status_code == 201, response.text
    assert response.json()["file_name"] == "a.png"
    again = await post(gateway, form())
    assert (again.status_code, again.json()["id"]) == (200, response.json()["id"])


async def test_a_body_of_another_type_is_told_what_is_accepted(gateway: RunningGateway) -> None:
    for kind, status, said in (
        ("text/plain", 415, "as application/dicom, image/png, image/jpeg; it is text/plain"),
        ("", 415, "without a content type"),
        ("image/png", 422, "The file is empty."),
    ):
        content = b"" if status == 422 else png()
        response = await gateway.client.post(
            STUDIES, content=content, headers={"content-type": kind}
        )
        assert (response.status_code, response.headers["content-type"]) == (
            status,
            PROBLEM_MEDIA_TYPE,
        )
        assert said in response.json()["detail"]


async def test_an_encoded_body_is_refused_by_name(gateway: RunningGateway) -> None:
    response = await post(gateway, gzip.compress(form()), **{"content-encoding": "gzip"})
    assert response.status_code == 415
    assert "Content-Encoding is gzip" in response.json()["detail"]


@pytest.mark.parametrize("path", [STUDIES, "/api/v1/system", "/api/v1/me", "/livez"])
async def test_head_is_get_without_a_body(gateway: RunningGateway, path: str) -> None:
    got, head = await gateway.client.get(path), await gateway.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


async def test_json_that_is_there_already_is_not_sent_again(gateway: RunningGateway) -> None:
    study = (await post(gateway, form())).json()["id"]
    one = f"{STUDIES}/{study}"
    # Compressed, it has a weak tag: test_gateway_page.py.
    gateway.client.headers["Accept-Encoding"] = "identity"
    for path in (one, STUDIES, "/api/v1/changes"):
        whole = await gateway.client.get(path)
        tag = whole.headers["etag"]
        for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            held = await gateway.client.get(path, headers={"If-None-Match": given})
            assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", tag)
        head = await gateway.client.head(path)
        assert (head.headers["etag"], head.headers["content-length"]) == (
            tag,
            str(len(whole.content)),
        )
        assert whole.headers["cache-control"] == "no-store"
        assert (await gateway.client.head(path, headers={"If-None-Match": tag})).status_code == 304
        await gateway.client.put(f"{one}/worklist", json={"state": "opened"})
        again = await gateway.client.get(path, headers={"If-None-Match": tag})
        # The study itself does not say who opened it; the list and the changes do.
        assert again.status_code == (304 if path == one else 200)
        await gateway.client.put(f"{one}/worklist", json={"state": "new"})


async def test_every_json_of_a_study_and_of_the_system_has_a_tag_that_holds(
    gateway: RunningGateway,
) -> None:
    study = (await post(gateway, form())).json()["id"]
    one, fhir = f"{STUDIES}/{study}", f"/fhir/R4/DiagnosticReport/{study}"
    for path in (
        *(f"{one}/{name}" for name in ("review", "report", "worklist")),
        *("/api/v1/system", "/api/v1/models", "/api/v1/webhooks"),
        *(fhir, f"{fhir}/$everything"),
    ):
        whole = await gateway.client.get(path)
        assert whole.status_code == 200, path
        tag = whole.headers["etag"]
        held = await gateway.client.get(path, headers={"If-None-Match": tag})
        assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", tag), path
        other = await gateway.client.get(path, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, whole.content), path
    # A page that is not the last: its cursor says when it was asked for.
    another = {"file": ("b.png", png(width=130, height=110), "image/png")}
    assert (await gateway.client.post(STUDIES, files=another)).status_code == 201
    page = await gateway.client.get(STUDIES, params={"limit": 1})
    known = {"If-None-Match": page.headers["etag"]}
    assert page.json()["next_cursor"]
    assert (
        await gateway.client.get(STUDIES, params={"limit": 1}, headers=known)
    ).status_code == 304
    before = (await gateway.client.get(f"{one}/worklist")).headers["etag"]
    await gateway.client.put(f"{one}/worklist", json={"state": "opened"})
    after = await gateway.client.get(f"{one}/worklist", headers={"If-None-Match": before})
    assert (after.status_code, after.json()["state"]) == (200, "opened")
    r5 = await gateway.client.get(
        fhir, headers={"Accept": "application/fhir+json; fhirVersion=5.0"}
    )
    assert r5.headers["content-type"].startswith("application/fhir+json")
    assert r5.headers["etag"] != (await gateway.client.get(fhir)).headers["etag"]


def pattern_of(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)))


async def test_allow_names_every_method_of_every_path(gateway: RunningGateway) -> None:
    """Of all that the document has: what a path answers, and 405 with the same for another."""
    study = (await post(gateway, form())).json()["id"]
    given = {"study_id": study, "finding": "Mass", "entry_id": "a" * 32, "role": "classifier"}
    paths = (await gateway.client.get("/openapi.json")).json()["paths"]
    assert len(paths) > 40
    for template in paths:
        path = re.sub(r"\{(\w+)\}", lambda match: given.get(match[1], "1"), template)
        # /api/v1/studies/batch might be a study's, too.
        at = [
            one
            for one in paths
            if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(one)), path)
        ]
        methods = {method.upper() for one in at for method in paths[one]} | {"OPTIONS"}
        allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        asked = await gateway.client.options(path)
        assert (asked.status_code, asked.headers["allow"]) == (204, allow), path
        for method in {"PUT", "PATCH", "POST", "GET"} - methods:
            refused = await gateway.client.request(method, path)
            assert (refused.status_code, refused.headers["allow"]) == (405, allow), path
            assert refused.headers["content-type"] == PROBLEM_MEDIA_TYPE


async def test_nothing_is_at_an_unknown_path_whatever_the_method(gateway: RunningGateway) -> None:
    for path in ("/api/v1/nothing", f"{STUDIES}/a/b/c", "/dicomweb/nothing"):
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            response = await gateway.client.request(method, path)
            assert response.status_code == 404, f"{method} {path}"
            assert "allow" not in response.headers
            assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
            assert bool(response.content) == (method != "HEAD")


@pytest.mark.parametrize("unit", ["items=0-5", "bytes=0-9", "bytes=x", "bytes=99999999-"])
async def test_an_image_comes_whole_whatever_range_is_asked_for(
    gateway: RunningGateway, unit: str
) -> None:
    study = (await post(gateway, form())).json()["id"]
    path = f"{STUDIES}/{study}/image.png"
    whole = await gateway.client.get(path)
    part = await gateway.client.get(path, headers={"range": unit})
    assert (part.status_code, part.content) == (200, whole.content)
