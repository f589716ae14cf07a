"""`Prefer: respond-async`: kept and answered at once, analysed later, lost by no restart."""

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import UnsupportedMedia
from support.fake_gateway import (
    FakeService,
    RunningGateway,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png
from support.live_gateway import FakeServices, Starter, services, start
from support.waiting import eventually

__all__ = ["services", "start"]
STUDIES = "/api/v1/studies"
ASYNC = {"Prefer": "respond-async, wait=10"}


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url)


class Held:
    """A service that answers once it is let go, or fails while it is `broken`."""

    def __init__(self) -> None:
        self.service = FakeService("classifier", answer=self._answer)
        self.released = asyncio.Event()

    async def _answer(self, request: Request) -> Response:
        await self.released.wait()
        return await self.service.usual(request)


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def gateway(settings: GatewaySettings, held: Held) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings, classifier=held.service) as running:
        yield running
        held.released.set()


async def study_of(client: httpx.AsyncClient, path: str, status: str) -> dict[str, Any]:
    """The study, once it has this status."""
    async with asyncio.timeout(20):
        while (found := (await client.get(path)).json())["status"] != status:
            await asyncio.sleep(0.02)
    return dict(found)


async def test_the_answer_does_not_wait_and_the_study_is_seen_until_it_is_read(
    gateway: RunningGateway, held: Held
) -> None:
    answer = await gateway.post(png(), **ASYNC)
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    place, study = answer.headers["location"], answer.json()
    assert (study["status"], study["findings"], study["triage"]) == ("pending", [], None)
    assert study["image"]["width"] > 0
    assert (await gateway.client.get(place)).json() == study
    [listed] = (await gateway.client.get(STUDIES, params={"status": "pending"})).json()["items"]
    assert listed["id"] == study["id"]
    assert (await gateway.client.get(f"{place}/image.png")).status_code == 200
    refused(await gateway.client.get(f"/fhir/R4/DiagnosticReport/{study['id']}"), 404)
    # The same file again is the same study, which still waits.
    again = await gateway.post(png(), **ASYNC)
    assert (again.status_code, again.json()["id"]) == (202, study["id"])
    held.released.set()
    done = await study_of(gateway.client, place, "complete")
    assert (len(done["findings"]), done["received_at"]) == (14, study["received_at"])
    assert gateway.detector.asked == 1
    kinds = [one["kind"] for one in (await gateway.client.get("/api/v1/changes")).json()["items"]]
    assert kinds == ["created", "analysed"]
    known = await gateway.post(png(), **ASYNC)
    assert (known.status_code, "preference-applied" in known.headers) == (200, False)


async def test_what_is_refused_or_rejected_is_told_at_once(gateway: RunningGateway) -> None:
    refused(await gateway.post(b"no image", **ASYNC), 415)
    blank = await gateway.post(_blank(), **ASYNC)
    assert (blank.status_code, blank.json()["status"]) == (201, "rejected")


def _blank() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (64, 64), 250).save(stream, "PNG")
    return stream.getvalue()


async def test_who_waits_gets_the_result_of_what_was_accepted(
    gateway: RunningGateway, held: Held
) -> None:
    accepted = await gateway.post(png(), **ASYNC)
    waiting = asyncio.create_task(gateway.post(png()))
    await asyncio.sleep(0.1)
    held.released.set()
    answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (200, "complete")
    assert answer.json()["id"] == accepted.json()["id"]
    assert held.service.asked == 1


async def test_services_that_are_away_are_waited_for(settings: GatewaySettings) -> None:
    async def fails(_request: Request) -> Response:
        return Response(status_code=500)

    broken = FakeService("classifier", answer=fails), FakeService("detector", answer=fails)
    async with running_gateway(settings, classifier=broken[0], detector=broken[1]) as gateway:
        answer = await gateway.post(png(), **ASYNC)
        async with asyncio.timeout(20):
            while not broken[1].asked:
                await asyncio.sleep(0.02)
        place = answer.headers["location"]
        assert (await gateway.client.get(place)).json()["status"] == "pending"
        broken[0].answer = broken[1].answer = None
        await study_of(gateway.client, place, "complete")


async def test_what_cannot_be_decoded_any_more_is_kept_as_failed(
    settings: GatewaySettings,
) -> None:
    async def fails(_request: Request) -> Response:
        return Response(status_code=500)

    broken = FakeService("classifier", answer=fails), FakeService("detector", answer=fails)
    async with running_gateway(settings, classifier=broken[0], detector=broken[1]) as gateway:
        answer = await gateway.post(png(), **ASYNC)
        study = answer.json()["id"]
        [original] = [name for name in gateway.files() if name.endswith("original.png")]
        (gateway.archive_dir / original).write_bytes(b"no image any more")
        pipeline = gateway.app.state.gateway.pipeline
        with pytest.raises(UnsupportedMedia):
            await pipeline.complete(study, is_last=False)
        place = answer.headers["location"]
        assert (await gateway.client.get(place)).json()["status"] == "pending"
        assert await pipeline.complete(study, is_last=True)
        failed = (await gateway.client.get(place)).json()
    assert (failed["status"], failed["image"]) == ("failed", answer.json()["image"])
    assert "cannot be decoded again" in failed["problems"][0]["detail"]


async def test_so_many_may_wait_and_a_deleted_one_waits_no_more(
    settings: GatewaySettings, held: Held
) -> None:
    few = settings.model_copy(update={"max_pending_studies": 1})
    async with running_gateway(few, classifier=held.service) as gateway:
        place = (await gateway.post(png(), **ASYNC)).headers["location"]
        full = refused(await gateway.post(png(seed=2), **ASYNC), 503)
        assert full.type == "urn:cxr:problem:overloaded"
        assert (await gateway.client.delete(place)).status_code == 204
        assert (await gateway.post(png(seed=2), **ASYNC)).status_code == 202
        held.released.set()
        refused(await gateway.client.get(place), 404)


@pytest.mark.slow
def test_a_killed_gateway_analyses_at_its_next_start_what_it_has_accepted(
    services: FakeServices, start: Starter
) -> None:
    services.classifier.answer = services.hold
    first = start()
    files = {"file": ("a.png", png())}
    answer = first.client.post(STUDIES, files=files, headers=ASYNC)
    assert answer.status_code == 202
    eventually(lambda: services.classifier.asked > 0, "the analysis did not begin", 20)
    first.kill()
    services.released.set()
    second = start()
    place = answer.headers["location"]
    eventually(lambda: second.client.get(place).json()["status"] == "complete", "it was lost", 30)
