"""Webhooks: registered, signed, received by a real server, tried again, given up, kept inside."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from cxr_gateway.archive import open_archive
from cxr_gateway.archive.tables import WebhookRow
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.webhooks.addresses import AddressPolicy
from cxr_gateway.webhooks.sending import open_sender
from cxr_gateway.webhooks.signing import new_secret, signature
from cxr_serving.errors import Unprocessable
from support.access import client_as, closed_gateway, closed_settings, send
from support.fake_gateway import RunningGateway, refused, running_gateway, settings_for
from support.images import png
from support.served_app import served

HOOKS = "/api/v1/webhooks"
ALL = ["study.created", "study.worklist", "study.deleted"]
QUICK: dict[str, Any] = {
    "webhook_allow": ["127.0.0.1", "localhost"],
    "webhook_poll_s": 0.05,
    "webhook_retry_min_s": 0.1,
    "webhook_timeout_s": 2,
}


@dataclass
class Receiver:
    """A web server that keeps what it was sent; `answers` are given first, each once."""

    port: int = 0
    answers: list[Response] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent_s: float = 0.0

    @property
    def url(self) -> str:
        """Where it takes messages."""
        return f"http://127.0.0.1:{self.port}/hook"

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._take, methods=["GET", "POST"])])

    async def _take(self, request: Request) -> Response:
        self.requests.append((dict(request.headers), await request.body()))
        await asyncio.sleep(self.silent_s)
        return self.answers.pop(0) if self.answers else Response(status_code=204)

    def messages(self, secret: str) -> list[dict[str, Any]]:
        """What came, once its signature is proved as a receiver proves it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        found = []
        for headers, body in self.requests:
            sent_at = int(headers["webhook-timestamp"])
            assert abs(time.time() - sent_at) < 300
            signed = f"{headers['webhook-id']}.{sent_at}.".encode() + body
            right = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            assert headers["webhook-signature"] == f"v1,{right}"
            found.append(json.loads(body))
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with served(made.app(), lifespan="off") as port:
        made.port = port
        yield made


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, **QUICK)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def registered(client: httpx.AsyncClient, url: str, **more: Any) -> dict[str, Any]:
    response = await client.post(HOOKS, json={"url": url, "events": ALL} | more)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def soon(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)
    assert holds(), what


async def log(client: httpx.AsyncClient, hook: dict[str, Any], **query: str) -> list[Any]:
    response = await client.get(f"{HOOKS}/{hook['id']}/deliveries", params=query)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


async def ended(client: httpx.AsyncClient, hook: dict[str, Any], state: str) -> list[Any]:
    async with asyncio.timeout(20):
        while not (found := await log(client, hook, state=state)):
            await asyncio.sleep(0.02)
    return found


async def test_a_change_is_received_once_signed_and_without_the_patient(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    before = (await gateway.post(png(seed=9))).json()["id"]
    hook = await registered(gateway.client, receiver.url)
    study = (await gateway.post(png(), name="Smith^John.png")).json()["id"]
    await gateway.client.put(f"/api/v1/studies/{study}/worklist", json={"state": "opened"})
    # What was not sent of a study goes with the study; so it is deleted after.
    await soon(lambda: len(receiver.requests) == 2, "not all messages came")
    await gateway.client.delete(f"/api/v1/studies/{study}")
    await soon(lambda: len(receiver.requests) >= 3, "the deletion was not sent")
    await asyncio.sleep(0.3)
    messages = {one["type"]: one for one in receiver.messages(hook["secret"])}
    assert len(receiver.requests) == 3
    assert set(messages) == set(ALL)
    assert {one["data"]["study_id"] for one in messages.values()} == {study}
    assert before not in str(messages)
    assert b"Smith" not in b"".join(body for _, body in receiver.requests)
    assert set(messages["study.created"]["data"]["study"] or {}) <= {
        "status",
        "priority",
        "score",
        "worklist",
        "revision",
    }
    found = await log(gateway.client, hook)
    assert {one["state"] for one in found} == {"delivered"}
    assert {one["id"] for one in found} == {h["webhook-id"] for h, _ in receiver.requests}
    # Who was told of a study stands in the audit log.
    entries = (await gateway.client.get("/api/v1/audit", params={"study_id": study})).json()[
        "items"
    ]
    assert [one["outcome"] for one in entries if one["action"] == "deliverWebhook"] == [204] * 3
    shown = (await gateway.client.get(HOOKS)).json()["items"]
    assert shown == [{name: value for name, value in hook.items() if name != "secret"}]


async def test_what_fails_is_tried_again_with_the_same_id_and_over_a_restart(
    settings: GatewaySettings, receiver: Receiver
) -> None:
    receiver.answers = [Response(status_code=500), RedirectResponse("/elsewhere")]
    slow = settings.model_copy(update={"webhook_retry_min_s": 1.0})
    async with running_gateway(slow) as gateway:
        hook = await registered(gateway.client, receiver.url, events=["study.created"])
        study = (await gateway.post(png())).json()["id"]
        await soon(lambda: len(receiver.requests) == 1, "it was not tried")
        [waiting] = await ended(gateway.client, hook, "waiting")
    async with running_gateway(slow) as gateway:
        [done] = await ended(gateway.client, hook, "delivered")
    assert (done["id"], done["attempts"], done["study_id"]) == (waiting["id"], 3, study)
    assert len(receiver.requests) == 3
    assert {headers["webhook-id"] for headers, _ in receiver.requests} == {done["id"]}
    assert len({body for _, body in receiver.requests}) == 1
    receiver.messages(hook["secret"])


async def test_what_cannot_be_delivered_is_a_dead_letter_and_can_be_sent_again(
    settings: GatewaySettings, receiver: Receiver
) -> None:
    receiver.answers = [Response(status_code=500) for _ in range(3)]
    impatient = settings.model_copy(update={"webhook_max_age_h": 0.25 / 3600})
    async with running_gateway(impatient) as gateway:
        hook = await registered(gateway.client, receiver.url, events=["study.created"])
        await gateway.post(png())
        [dead] = await ended(gateway.client, hook, "dead")
        assert dead["last_error"] == "It answered with status 500."
        assert (dead["last_status"], dead["next_at"]) == (500, None)
        receiver.answers = []
        path = f"{HOOKS}/{hook['id']}/deliveries/{dead['id']}/retry"
        assert (await gateway.client.post(path)).json()["state"] == "waiting"
        assert [one["id"] for one in await ended(gateway.client, hook, "delivered")] == [dead["id"]]
        refused(await gateway.client.post(path), 409)


async def test_an_answer_without_end_or_that_never_comes_holds_nothing_up(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024
            await asyncio.sleep(0.01)

    receiver.answers = [StreamingResponse(endless())]
    hook = await registered(gateway.client, receiver.url)
    path = f"{HOOKS}/{hook['id']}/test"
    async with asyncio.timeout(1.5):
        assert (await gateway.client.post(path)).json()["state"] == "delivered"
    receiver.silent_s = 10.0
    async with asyncio.timeout(5):
        said = (await gateway.client.post(path)).json()
    assert said["last_error"] == "It does not answer (ReadTimeout)."


async def test_a_receiver_that_is_gone_is_called_no_more(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    receiver.answers = [Response(status_code=410)]
    hook = await registered(gateway.client, receiver.url, events=["study.created"])
    await gateway.post(png())
    await ended(gateway.client, hook, "dead")
    await gateway.post(png(seed=2))
    await asyncio.sleep(0.3)
    assert len(receiver.requests) == 1
    [shown] = (await gateway.client.get(HOOKS)).json()["items"]
    assert shown["disabled_at"] is not None


async def test_a_test_call_says_what_came_of_it(
    gateway: RunningGateway, receiver: Receiver
) -> None:
    hook = await registered(gateway.client, receiver.url)
    path = f"{HOOKS}/{hook['id']}/test"
    first = (await gateway.client.post(path)).json()
    assert (first["event"], first["state"], first["last_status"]) == (
        "webhook.test",
        "delivered",
        204,
    )
    assert receiver.messages(hook["secret"])[0]["data"] is None
    receiver.answers = [Response(status_code=404)]
    second = (await gateway.client.post(path)).json()
    assert (second["state"], second["last_error"]) == ("dead", "It answered with status 404.")
    assert [one["id"] for one in await log(gateway.client, hook)] == [second["id"], first["id"]]
    assert (await gateway.client.delete(f"{HOOKS}/{hook['id']}")).status_code == 204
    refused(await gateway.client.post(path), 404)
    assert (await gateway.client.get(HOOKS)).json() == {"items": []}


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.2/",
        "https://10.1.2.3/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://167837953/",
        "https://224.0.0.1/",
        "http://93.184.216.34/plain",
        "https://user:pass@93.184.216.34/",  # pragma: allowlist secret
        "https://93.184.216.34/#part",
        "ftp://93.184.216.34/",
        "file:///etc/passwd",
        "https://",
        "https://no-such-name.invalid/",
        "gopher",
    ],
)
async def test_an_address_inside_or_odd_is_refused_at_registration(
    gateway: RunningGateway, url: str
) -> None:
    problem = refused(await gateway.client.post(HOOKS, json={"url": url, "events": ALL}), 422)
    assert problem.type == "urn:cxr:problem:unprocessable"
    assert (await gateway.client.get(HOOKS)).json() == {"items": []}


async def test_an_address_is_looked_up_again_and_the_call_goes_to_what_was_found(
    receiver: Receiver,
) -> None:
    asked: list[str] = []
    answers = [["93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["127.0.0.1"]]

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    secret, url = new_secret(), f"https://hooks.example:{receiver.port}/hook"
    async with open_sender(AddressPolicy([], resolver), 2) as sender:
        await sender.check(url)
        for _ in range(2):
            outcome = await sender.send(url, secret, "msg_1", "{}")
            assert "not public" in str(outcome.error)
    assert (len(asked), receiver.requests) == (3, [])
    # To the address that was checked, under the name that was asked for.
    plain = f"http://hooks.example:{receiver.port}/hook?a=b"
    async with open_sender(AddressPolicy(["hooks.example"], resolver), 2) as sender:
        assert (await sender.send(plain, secret, "msg_1", "{}")).error is None
    assert receiver.requests[0][0]["host"] == f"hooks.example:{receiver.port}"


async def test_a_network_may_be_allowed() -> None:
    async def inside(_host: str, _port: int) -> list[str]:
        return ["10.1.2.3"]

    assert await AddressPolicy(["10.1.0.0/16"], inside).place_of("http://ris/") == (
        "10.1.2.3",
        "ris",
    )
    with pytest.raises(Unprocessable):
        await AddressPolicy(["10.2.0.0/16", "other"], inside).place_of("https://ris/")


def test_the_signature_is_the_specifications_own_example() -> None:
    # pragma: allowlist nextline secret
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_webhooks_are_for_administrators_and_for_their_department(
    tmp_path: Path, receiver: Receiver
) -> None:
    closed = closed_settings(tmp_path / "archive", **QUICK)
    async with (
        closed_gateway(closed) as gateway,
        client_as(gateway, Role.ADMIN) as admin,
        client_as(gateway, Role.ADMIN, department="surgery") as surgery,
        client_as(gateway, Role.CLINICIAN, department="radiology") as radiology,
    ):
        refused(await radiology.get(HOOKS), 403)
        refused(await radiology.post(HOOKS, json={"url": receiver.url, "events": ALL}), 403)
        theirs = {"url": receiver.url, "events": ALL, "department": "radiology"}
        refused(await surgery.post(HOOKS, json=theirs), 403)
        of_radiology = await registered(admin, receiver.url, department="radiology")
        of_surgery = await registered(surgery, receiver.url)
        assert of_surgery["department"] == "surgery"
        assert [one["id"] for one in (await surgery.get(HOOKS)).json()["items"]] == [
            of_surgery["id"]
        ]
        refused(await surgery.delete(f"{HOOKS}/{of_radiology['id']}"), 404)
        await send(radiology, png())
        await ended(admin, of_radiology, "delivered")
        assert await log(admin, of_surgery) == []
        assert len(receiver.requests) == 1


async def kept_secret(settings: GatewaySettings) -> str:
    """The only webhook's secret as somebody with the database sees it."""
    async with open_archive(settings) as archive:
        kept = await archive.query(lambda session: session.scalars(select(WebhookRow.secret)).one())
    return str(kept)


async def test_a_secret_lies_sealed_in_the_database_also_one_from_before_over_a_change_of_key(
    settings: GatewaySettings, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = "f" * 32, "s" * 32
    kept, secret = [], ""
    caplog.set_level(logging.INFO)
    for key in ("", first, f"{second} {first}", second):
        keyed = settings.model_copy(update={"secrets_key": SecretStr(key)})
        async with running_gateway(keyed) as gateway:
            if not secret:
                secret = (await registered(gateway.client, receiver.url))["secret"]
            [hook] = (await gateway.client.get(HOOKS)).json()["items"]
            test = await gateway.client.post(f"{HOOKS}/{hook['id']}/test")
            assert test.json()["state"] == "delivered"
        kept.append(await kept_secret(settings))
    assert len(receiver.messages(secret)) == 4
    assert secret.removeprefix("whsec_") in kept[0]
    assert len(set(kept)) == 3
    assert kept[2] == kept[3]
    for sealed in kept[1:]:
        assert secret.removeprefix("whsec_") not in sealed
    # So whoever changes the key knows that it is done, and when nothing needs the old one.
    said = [
        (record.levelname, vars(record)["webhooks"], vars(record)["sealed"])
        for record in caplog.records
        if record.message == "webhooks' secrets were sealed by the first key"
    ]
    assert said == [("INFO", 1, 1), ("INFO", 1, 1)]
    caplog.clear()
    lost = settings.model_copy(update={"secrets_key": SecretStr("x" * 32)})
    async with running_gateway(lost):
        pass
    [warning] = [x for x in caplog.records if "secrets were sealed" in x.message]
    assert (warning.levelname, vars(warning)["not_opened"]) == ("WARNING", 1)
    async with running_gateway(settings) as gateway:
        failed = (await gateway.client.post(f"{HOOKS}/{hook['id']}/test")).json()
        assert failed["last_error"] == "Its secret was sealed by another CXR_GATEWAY_SECRETS_KEY."
        made = await registered(gateway.client, receiver.url)
    assert len(receiver.messages(secret)) == 4
    assert made["secret"].startswith("whsec_")


async def test_a_new_webhooks_secret_is_sealed_from_the_beginning(
    settings: GatewaySettings, receiver: Receiver
) -> None:
    keyed = settings.model_copy(update={"secrets_key": SecretStr("k" * 40)})
    async with running_gateway(keyed) as gateway:
        hook = await registered(gateway.client, receiver.url, events=["study.created"])
        await gateway.post(png())
        await soon(lambda: len(receiver.requests) == 1, "it was not sent")
    assert len(receiver.messages(hook["secret"])) == 1
    kept = await kept_secret(settings)
    assert kept.startswith("s1.")
    assert len(kept) <= 100
