"""The feed of changes over HTTP: asked for page by page, and followed as server-sent events."""

import json
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from cxr_gateway.app import create_app
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.tokens import now
from support.access import client_as, closed_gateway, closed_settings, send
from support.fake_gateway import (
    RuleOodDetector,
    RunningGateway,
    refused,
    running_gateway,
    settings_for,
)
from support.images import png
from support.live_gateway import FakeServices, Starter, services, start
from support.served_app import served
from support.waiting import eventually

__all__ = ["services", "start"]
CHANGES, EVENTS, STUDIES = "/api/v1/changes", "/api/v1/events", "/api/v1/studies"


@pytest.fixture
async def gateway(tmp_path: Path, database_url: str | None) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings_for(tmp_path / "archive", database_url)) as running:
        yield running


async def page(client: httpx.AsyncClient, **query: str | int) -> dict[str, Any]:
    response = await client.get(CHANGES, params=query)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def created(client: httpx.AsyncClient, seed: int = 0) -> str:
    response = await send(client, png(seed=seed))
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def test_each_thing_that_happens_is_a_change_in_its_order(gateway: RunningGateway) -> None:
    client = gateway.client
    gateway.detector.answer = fails
    study = await created(client)
    gateway.detector.answer = None
    assert (await client.post(f"{STUDIES}/{study}/rerun")).json()["status"] == "complete"
    assert (await client.put(f"{STUDIES}/{study}/worklist", json={"state": "opened"})).is_success
    entry = f"{STUDIES}/{study}/review/{uuid.uuid4()}"
    said = {"revision": 2, "verdict": "commented", "comment": "Look at the left."}
    for _ in range(2):
        assert (await client.put(entry, json=said)).is_success
    for _ in range(2):
        assert (await client.delete(entry)).is_success
    draft = (await client.get(f"{STUDIES}/{study}/report")).json()["draft"]
    version = {"text": draft, "revision": 2, "based_on": 0, "sign": False}
    written = await client.post(f"{STUDIES}/{study}/report", json=version)
    assert written.status_code == 200, written.text
    found = await page(client)
    kinds = [one["kind"] for one in found["items"]]
    assert kinds == ["created", "rerun", "worklist", "reviewed", "reviewed", "reported"]
    assert {one["study_id"] for one in found["items"]} == {study}
    assert found["items"][0]["study"] == {
        "status": "complete",
        "priority": found["items"][0]["study"]["priority"],
        "score": None,
        "worklist": "opened",
        "revision": 2,
    }
    assert found["items"][-1]["cursor"] == found["next_cursor"]
    assert await page(client, since=found["next_cursor"]) == {
        "items": [],
        "next_cursor": found["next_cursor"],
        "has_more": False,
    }
    assert (await client.delete(f"{STUDIES}/{study}")).status_code == 204
    [gone] = (await page(client, since=found["next_cursor"]))["items"]
    assert (gone["kind"], gone["study_id"], gone["study"]) == ("deleted", study, None)
    assert [one["kind"] for one in (await page(client))["items"]] == ["deleted"]


async def fails(_request: Request) -> Response:
    return Response(status_code=500)


async def test_pages_lead_to_the_end(gateway: RunningGateway) -> None:
    studies = [await created(gateway.client, seed) for seed in range(5)]
    found: list[str] = []
    more, query = True, dict[str, str]()
    while more:
        part = await page(gateway.client, limit=2, **query)
        assert len(part["items"]) <= 2
        found += [one["study_id"] for one in part["items"]]
        more, query = part["has_more"], {"since": part["next_cursor"]}
    assert found == studies
    # From any change on, not only from where a page ended.
    every = (await page(gateway.client))["items"]
    rest = await page(gateway.client, since=every[1]["cursor"])
    assert rest["items"] == every[2:]


async def test_a_cursor_that_is_none_and_one_of_another_archive_are_refused(
    gateway: RunningGateway,
) -> None:
    await created(gateway.client)
    here = (await page(gateway.client))["next_cursor"]
    assert refused(await gateway.client.get(CHANGES, params={"since": "yesterday"}), 400)
    assert refused(await gateway.client.get(EVENTS, headers={"Last-Event-ID": "yesterday"}), 400)
    elsewhere = "00000000" + here[8:]
    for path in (CHANGES, EVENTS):
        problem = refused(await gateway.client.get(path, params={"since": elsewhere}), 410)
        assert problem.type == "urn:cxr:problem:cursor-gone"
    refused(await gateway.client.get(CHANGES, params={"from": here}), 422)
    refused(await gateway.client.get(CHANGES, params={"limit": 0}), 422)


async def test_a_department_has_its_own_changes_and_a_place_behind_those_of_others(
    tmp_path: Path, database_url: str | None
) -> None:
    settings = closed_settings(tmp_path / "archive", database_url, database_timeout_s=2)
    async with (
        closed_gateway(settings) as gateway,
        client_as(gateway, Role.CLINICIAN, department="radiology") as own,
        client_as(gateway, Role.CLINICIAN, department="surgery") as other,
        client_as(gateway, Role.ADMIN) as admin,
        client_as(gateway, Role.AUDITOR) as auditor,
    ):
        study, foreign = await created(own), await created(other, 1)
        assert [one["study_id"] for one in (await page(own))["items"]] == [study]
        assert [one["study_id"] for one in (await page(admin))["items"]] == [study, foreign]
        assert (await page(own))["next_cursor"] == (await page(admin))["next_cursor"]
        start = (await page(own))["next_cursor"]
        assert (await admin.delete(f"{STUDIES}/{foreign}")).status_code == 204
        assert (await admin.delete(f"{STUDIES}/{study}")).status_code == 204
        # A tombstone is as secret as the study was.
        assert [one["study_id"] for one in (await page(own, since=start))["items"]] == [study]
        assert [one["study_id"] for one in (await page(other, since=start))["items"]] == [foreign]
        for path in (CHANGES, EVENTS):
            refused(await auditor.get(path), 403)
            refused(await gateway.client.get(path), 401)


async def test_the_audit_log_says_whose_changes_were_read(gateway: RunningGateway) -> None:
    study = await created(gateway.client)
    await page(gateway.client)
    start = (await page(gateway.client))["items"][0]["cursor"]
    second = await created(gateway.client, seed=1)
    await gateway.client.get(EVENTS, params={"since": start})
    entries = (await gateway.client.get("/api/v1/audit", params={"study_id": study})).json()[
        "items"
    ]
    assert "listChanges" in [entry["action"] for entry in entries]
    followed = await gateway.client.get("/api/v1/audit", params={"action": "streamEvents"})
    told, asked = followed.json()["items"]
    assert (asked["outcome"], asked["details"]) == (200, None)
    # On record before they are sent; a stream tells of each study once more only to another.
    assert (told["outcome"], told["details"]) == (200, {"studies": [second]})


@pytest.mark.parametrize("path", [CHANGES, EVENTS])
async def test_head_tells_the_headers_and_ends(gateway: RunningGateway, path: str) -> None:
    head = await gateway.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    kind = "text/event-stream" if path == EVENTS else "application/json"
    assert head.headers["content-type"].startswith(kind)


# --- Server-sent events, on real sockets


@dataclass
class Listener:
    """What came on a stream, read in a thread as a browser's EventSource does."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    last_id: str = ""
    comments: int = 0
    opened: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def take(self, line: str, event: dict[str, str]) -> None:
        if line.startswith(":"):
            self.comments += 1
        elif line:
            name, _, value = line.partition(":")
            event[name] = value.removeprefix(" ")
        else:
            self.last_id = event.get("id", self.last_id)
            if "data" in event:
                assert event["event"] == "change"
                self.changes.append(json.loads(event["data"]))
                assert self.changes[-1]["cursor"] == event["id"]
            event.clear()
            self.opened.set()

    @property
    def studies(self) -> list[str]:
        """Whose changes came."""
        return [str(one["study_id"]) for one in self.changes]


@contextmanager
def listening(client: httpx.Client, **headers: str) -> Iterator[Listener]:
    """A listener on the stream, until the end of the block or of the stream."""
    listener = Listener()
    with client.stream("GET", EVENTS, headers=headers, timeout=30) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-store"

        def read() -> None:
            event: dict[str, str] = {}
            try:
                for line in response.iter_lines():
                    listener.take(line, event)
            except httpx.HTTPError:
                pass
            finally:
                listener.ended.set()

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        assert listener.opened.wait(10)
        try:
            yield listener
        finally:
            response.close()
            thread.join(10)


@dataclass
class Served:
    """A gateway on a port, and the app behind it."""

    url: str
    app: Any

    def client(self, key: str | None = None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def key(self, role: Role, department: str | None = None) -> tuple[str, str]:
        """The id of a new key, and what its system sends."""
        keys = self.app.state.gateway.authenticator.keys
        until = now() + timedelta(days=1)
        made, token = keys.create("a system", frozenset({role}), department, until)
        return str(made.id), str(token)


QUICK: dict[str, Any] = {"changes_poll_s": 0.05, "event_heartbeat_s": 0.3, "event_stream_max_s": 60}


@contextmanager
def serving(settings: GatewaySettings) -> Iterator[Served]:
    app = create_app(settings, ood=RuleOodDetector())
    with served(app) as port:
        yield Served(f"http://127.0.0.1:{port}", app)


def urls(services: FakeServices) -> dict[str, Any]:
    return {f"{role}_url": f"http://127.0.0.1:{port}" for role, port in services.ports.items()}


def sent(client: httpx.Client, seed: int = 0) -> str:
    response = client.post(STUDIES, files={"file": ("a.png", png(seed=seed))})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_a_stream_tells_what_happens_and_is_resumed_where_it_broke(
    services: FakeServices, tmp_path: Path, database_url: str | None
) -> None:
    settings = settings_for(tmp_path / "archive", database_url, **QUICK, **urls(services))
    with serving(settings) as gateway, gateway.client() as client:
        before = sent(client)
        with listening(client) as listener:
            assert listener.last_id == client.get(CHANGES).json()["next_cursor"]
            first = sent(client, 1)
            eventually(lambda: listener.studies == [first], "the change was not told", 10)
            client.put(f"{STUDIES}/{first}/worklist", json={"state": "opened"})
            eventually(lambda: len(listener.changes) == 2, "nor the next one", 10)
            assert listener.changes[-1]["study"]["worklist"] == "opened"
            eventually(lambda: listener.comments > 0, "there was no heartbeat", 10)
        assert before not in listener.studies
        missed = sent(client, 2)
        with listening(client, **{"Last-Event-ID": listener.last_id}) as again:
            eventually(lambda: again.studies == [missed], "what was missed was not told", 10)
        # The same entries as the feed's own.
        since = listener.changes[0]["cursor"]
        fed = client.get(CHANGES, params={"since": since}).json()["items"]
        assert fed == [listener.changes[1], *again.changes]


def test_a_stream_shows_a_department_its_own_and_ends_with_the_key(
    services: FakeServices, tmp_path: Path
) -> None:
    settings = closed_settings(tmp_path / "archive", **QUICK, **urls(services))
    with serving(settings) as gateway:
        key_id, token = gateway.key(Role.CLINICIAN, "radiology")
        _, foreign = gateway.key(Role.CLINICIAN, "surgery")
        with gateway.client(token) as own, gateway.client(foreign) as other:
            with listening(own) as listener:
                sent(other)
                study = sent(own, 1)
                eventually(lambda: bool(listener.studies), "nothing was told", 10)
                assert listener.studies == [study]
                gateway.app.state.gateway.authenticator.keys.revoke(key_id)
                assert listener.ended.wait(10), "the stream outlives its key"
            assert own.get(EVENTS).status_code == 401


def test_there_are_so_many_streams_and_no_more(services: FakeServices, tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_event_streams": 3, "max_event_streams_per_principal": 2}
    settings = closed_settings(tmp_path / "archive", **QUICK, **limits, **urls(services))
    with serving(settings) as gateway:
        tokens = [gateway.key(Role.VIEWER)[1] for _ in range(2)]
        with gateway.client(tokens[0]) as one, gateway.client(tokens[1]) as two:
            with listening(one), listening(one):
                many = one.get(EVENTS)
                assert (many.status_code, many.headers["retry-after"]) == (429, "5")
                with listening(two):
                    full = two.get(EVENTS)
                    assert full.status_code == 503
                    assert full.json()["type"] == "urn:cxr:problem:overloaded"
            streams = gateway.app.state.gateway.streams
            eventually(lambda: streams._shares.total == 0, "places are not given back", 10)
            with listening(one):
                pass


def test_a_stream_ends_after_its_time(services: FakeServices, tmp_path: Path) -> None:
    short = QUICK | {"event_stream_max_s": 0.5}
    settings = settings_for(tmp_path / "archive", **short, **urls(services))
    with (
        serving(settings) as gateway,
        gateway.client() as client,
        listening(client) as listener,
    ):
        assert listener.ended.wait(10)


@pytest.mark.slow
def test_what_another_gateway_does_is_told_and_a_stopping_one_ends_its_streams(
    start: Starter,
) -> None:
    first = start(CXR_GATEWAY_EVENT_HEARTBEAT_S="60")
    second = start()
    with listening(first.client) as listener:
        study = second.post(png()).json()["id"]
        eventually(lambda: listener.studies == [study], "the other gateway's study is missing", 10)
        begun = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        assert listener.ended.wait(10)
        assert first.process.wait(20) in (0, -signal.SIGTERM)
        # It did not wait for its patience with requests to end.
        assert time.monotonic() - begun < 10
