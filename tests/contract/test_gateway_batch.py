"""Several files in one request: each has its own status, study or problem."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from cxr_gateway.api.upload import MAX_FILES
from cxr_gateway.core.schemas import SubmittedFiles
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    RunningGateway,
    Unreachable,
    refused,
    running_gateway,
    settings_for,
)
from support.images import encoded, png

STUDIES = "/api/v1/studies"
BATCH = f"{STUDIES}/batch"
MAX_BYTES = 300_000


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, max_upload_bytes=MAX_BYTES)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def send(gateway: RunningGateway, *contents: bytes, **headers: str) -> httpx.Response:
    files = [("file", (f"{number} ü.png", content)) for number, content in enumerate(contents)]
    return await gateway.client.post(
        BATCH, files=files, headers={name.replace("_", "-"): one for name, one in headers.items()}
    )


async def items(gateway: RunningGateway, *contents: bytes, **headers: str) -> list[dict[str, Any]]:
    response = await send(gateway, *contents, **headers)
    assert response.status_code == 207, response.text
    SubmittedFiles.model_validate_json(response.content)
    return list(response.json()["items"])


async def test_each_file_has_its_own_answer_in_the_order_of_the_request(
    gateway: RunningGateway,
) -> None:
    known = (await gateway.post(png(seed=3))).json()["id"]
    gif = encoded(Image.new("L", (64, 64)), "GIF")
    found = await items(gateway, png(seed=1), gif, b"", png(seed=3), png(seed=1), png()[:2000])
    assert [one["status"] for one in found] == [201, 415, 422, 200, 200, 422]
    assert [one["file_name"] for one in found] == [f"{number} ü.png" for number in range(6)]
    assert [one["problem"] and one["problem"]["type"].rpartition(":")[2] for one in found] == [
        None, "unsupported-media", "unprocessable", None, None, "unprocessable",
    ]  # fmt: skip
    assert "GIF" in found[1]["problem"]["detail"]
    assert found[3]["study"]["id"] == known
    assert found[4]["study"]["id"] == found[0]["study"]["id"]
    alone = (await gateway.client.get(f"{STUDIES}/{found[0]['study']['id']}")).json()
    assert found[0]["study"] == alone
    assert (await gateway.client.get(STUDIES)).json()["total"] == 2
    assert not [name for name in gateway.files() if name.startswith("incoming")]


async def test_the_audit_entry_names_every_study_and_is_found_by_each(
    gateway: RunningGateway,
) -> None:
    found = await items(gateway, png(seed=1), b"text", png(seed=2))
    studies = [one["study"]["id"] for one in found if one["study"]]
    for study in studies:
        asked = {"study_id": study, "action": "createStudies"}
        [line] = (await gateway.client.get("/api/v1/audit", params=asked)).json()["items"]
        assert (line["outcome"], line["details"]["studies"]) == (207, studies)


async def test_what_is_sent_again_with_its_key_is_the_same_and_another_file_is_its_own_conflict(
    gateway: RunningGateway,
) -> None:
    first = await items(gateway, png(seed=1), png(seed=2), Idempotency_Key="order-1")
    again = await items(gateway, png(seed=1), png(seed=9), Idempotency_Key="order-1")
    assert [one["status"] for one in again] == [200, 409]
    assert again[0]["study"]["id"] == first[0]["study"]["id"]
    assert (await gateway.client.get(STUDIES)).json()["total"] == 2
    assert (await send(gateway, png(), Idempotency_Key="k" * 191)).status_code == 422
    assert (await items(gateway, png(), Idempotency_Key="k" * 190))[0]["status"] == 201


async def test_nobody_waits_who_does_not_want_to(gateway: RunningGateway) -> None:
    found = await items(gateway, png(seed=1), b"text", png(seed=2), Prefer="respond-async")
    assert [one["status"] for one in found] == [202, 415, 202]
    assert {one["study"]["status"] for one in found if one["study"]} == {"pending"}

    async with asyncio.timeout(20):
        done = {"status": "complete"}
        while (await gateway.client.get(STUDIES, params=done)).json()["total"] < 2:
            await asyncio.sleep(0.02)


async def test_without_services_each_study_is_kept_and_its_problem_names_it(
    settings: GatewaySettings,
) -> None:
    down = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with running_gateway(settings, transports=down) as gateway:
        found = await items(gateway, png(seed=1), png(seed=2))
        assert [one["status"] for one in found] == [503, 503]
        kept = [one["problem"]["study_id"] for one in found]
        listed = (await gateway.client.get(STUDIES)).json()
        assert {one["id"] for one in listed["items"]} == {*kept}
        asked = {"study_id": kept[1], "action": "createStudies"}
        [line] = (await gateway.client.get("/api/v1/audit", params=asked)).json()["items"]
    assert line["details"]["studies"] == kept


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    body = b"".join(
        f"--b\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"
        for head, content in parts
    )
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


FILE = 'name="file"; filename="a.png"'
BAD = {
    "no file": (form(), 422, "there is none"),
    "another field": (form((FILE, b"x"), ('name="note"', b"x")), 422, "`note`"),
    "a text": (form((FILE, b"x"), ('name="file"', b"x")), 422, "must be a file"),
    "one too many": (form(*[(FILE, b"x")] * (MAX_FILES + 1)), 422, "at most 32"),
    "cut": ((form((FILE, png()))[0][:900], form()[1]), 400, "cut short"),
    "no form": ((png(), {"Content-Type": "image/png"}), 415, "multipart/form-data"),
    "too large together": (form(*[(FILE, bytes(MAX_BYTES // 2 + 1))] * 2), 413, "together"),
}


@pytest.mark.parametrize(("sent", "status", "words"), BAD.values(), ids=BAD.keys())
async def test_a_request_that_is_refused_keeps_nothing(
    gateway: RunningGateway, sent: tuple[bytes, dict[str, str]], status: int, words: str
) -> None:
    body, headers = sent
    problem = refused(await gateway.client.post(BATCH, content=body, headers=headers), status)
    assert words in problem.detail
    assert gateway.files() == []
    assert (await gateway.client.get(STUDIES)).json()["total"] == 0


async def test_as_many_as_may_be_are_taken(gateway: RunningGateway) -> None:
    small = [b"x"] * MAX_FILES
    assert [one["status"] for one in await items(gateway, *small)] == [415] * MAX_FILES


async def test_an_error_of_the_gateways_own_is_one_files_alone(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = gateway.app.state.gateway.pipeline
    usual, asked = pipeline.analyze, iter(range(2))

    async def breaks_once(*arguments: Any) -> Any:
        if next(asked) == 0:
            raise ZeroDivisionError
        return await usual(*arguments)

    monkeypatch.setattr(pipeline, "analyze", breaks_once)
    found = await items(gateway, png(seed=1), png(seed=2))
    assert [one["status"] for one in found] == [500, 201]
    assert "ZeroDivision" not in json.dumps(found)
    assert not [name for name in gateway.files() if name.startswith("incoming")]
