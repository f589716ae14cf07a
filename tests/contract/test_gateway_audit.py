"""What the audit log holds of requests, what it keeps from being answered, and its two doors."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine, event
from starlette.requests import ClientDisconnect

from cxr_gateway.access.permissions import Operations
from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Entry, Event
from cxr_gateway.audit import by_the_machine
from cxr_gateway.audit.spool import Spool
from cxr_gateway.audit.summary import OTHERS, Summary
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import client_as, closed_gateway, closed_settings
from support.archives import commanded, gateway_command
from support.dicom_images import dicom
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    RunningGateway,
    Unreachable,
    refused,
    running_gateway,
    settings_for,
)
from support.fake_oidc import FakeOidcProvider, browser, signed_in
from support.images import png, radiograph_like

STUDIES, SIGN_OUT = "/api/v1/studies", "/api/v1/sign-out"


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, trusted_proxies=1)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with running_gateway(settings) as running:
        yield running


async def lines(gateway: RunningGateway, **query: Any) -> list[dict[str, Any]]:
    """The log's entries, the oldest first, without those of asking for them and of the start."""
    answer = await gateway.client.get("/api/v1/audit", params={"limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    own = ("listAuditEntries", "start")
    return [line for line in answer.json()["items"][::-1] if line["action"] not in own]


async def test_every_request_is_on_record_with_who_what_which_study_and_from_where(
    gateway: RunningGateway,
) -> None:
    study = (await gateway.post(png(), **{"X-Request-ID": "first"})).json()["id"]
    await gateway.client.get(f"{STUDIES}/{study}")
    await gateway.client.get(f"{STUDIES}/{study}/image.png")
    await gateway.client.get(STUDIES)
    await gateway.client.get("/api/v1/system")
    await gateway.client.get("/livez")
    found = await lines(gateway)
    assert [(line["action"], line["outcome"], line["study_id"]) for line in found] == [
        ("createStudy", 201, study),
        ("getStudy", 200, study),
        ("getStudyImage", 200, study),
        ("listStudies", 200, None),
        ("getSystem", 200, None),
    ]
    first = found[0]
    assert (first["request_id"], first["source"]) == ("first", "127.0.0.1")
    assert first["kind"] in ("local", "nobody")
    assert await lines(gateway, study_id=study, action="getStudy") == [found[1]]
    # A list has shown it, too.
    assert await lines(gateway, study_id=study) == found[:4]
    assert await lines(gateway, since=found[2]["at"]) == found[2:]


async def test_refusals_are_on_record(gateway: RunningGateway) -> None:
    unknown = new_study_id()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    refused(await gateway.client.get(f"{STUDIES}/{unknown}"), 404)
    refused(await gateway.client.get(f"{STUDIES}/Smith^John/image.png"), 404)
    refused(await gateway.client.post(STUDIES, headers=foreign), 403)
    refused(await gateway.client.delete(f"{STUDIES}/{unknown}", headers=foreign), 403)
    refused(await gateway.client.get("/api/v1/nothing"), 404)
    refused(await gateway.client.put(STUDIES), 405)
    await gateway.post(png(), **{"Idempotency-Key": "k"})
    refused(await gateway.post(png(90, 80), **{"Idempotency-Key": "k"}), 409)
    found = await lines(gateway)
    assert [(line["action"], line["outcome"], line["study_id"]) for line in found if
            line["outcome"] != 201] == [
        ("getStudy", 404, unknown),
        ("getStudyImage", 404, None),
        ("createStudy", 403, None),
        ("deleteStudy", 403, unknown),
        ("noSuchOperation", 404, None),
        ("noSuchOperation", 405, None),
        ("createStudy", 409, None),
    ]  # fmt: skip
    assert all(line["request_id"] for line in found)
    assert "Smith" not in json.dumps(found)


async def test_a_study_that_no_service_could_read_is_named_all_the_same(
    settings: GatewaySettings,
) -> None:
    down = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with running_gateway(settings, transports=down) as gateway:
        problem = refused(await gateway.post(png()), 503)
        [line] = await lines(gateway)
    assert line["study_id"] == problem.model_dump()["study_id"]
    assert (line["action"], line["outcome"]) == ("createStudy", 503)


@pytest.mark.parametrize(
    ("header", "source"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("1.1.1.1, 10.1.2.3", "10.1.2.3"),
        ("10.1.2.3, Smith^John", "127.0.0.1"),
        ("", "127.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
async def test_an_address_is_believed_that_the_trusted_proxy_wrote(
    tmp_path: Path, header: str, source: str
) -> None:
    async with running_gateway(settings_for(tmp_path / "archive", trusted_proxies=1)) as gateway:
        await gateway.client.get(STUDIES, headers={"X-Forwarded-For": header})
        assert [line["source"] for line in await lines(gateway)] == [source]


async def test_without_a_trusted_proxy_nobody_can_write_an_address(tmp_path: Path) -> None:
    async with running_gateway(settings_for(tmp_path / "archive")) as gateway:
        await gateway.client.get(STUDIES, headers={"X-Forwarded-For": "10.1.2.3"})
        assert [line["source"] for line in await lines(gateway)] == ["127.0.0.1"]


async def test_what_cannot_be_put_on_record_is_not_answered(
    gateway: RunningGateway, settings: GatewaySettings
) -> None:
    study = (await gateway.post(png())).json()["id"]
    run(settings, "ALTER TABLE audit_log RENAME TO elsewhere")
    for path in (f"{STUDIES}/{study}", f"{STUDIES}/{study}/image.png", STUDIES):
        answer = await gateway.client.get(path)
        problem = refused(answer, 503)
        assert "audit log" in problem.detail
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Request-ID"]
        assert answer.headers["Retry-After"] == "5"
        assert "ETag" not in answer.headers
    refused(await gateway.client.delete(f"{STUDIES}/{study}"), 503)
    assert (await gateway.client.get("/api/v1/system")).status_code == 200
    run(settings, "ALTER TABLE elsewhere RENAME TO audit_log")
    assert (await gateway.client.get(f"{STUDIES}/{study}")).status_code == 200


def run(settings: GatewaySettings, statement: str) -> None:
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


async def test_two_gateways_on_one_archive_write_one_chain(
    gateway: RunningGateway, settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_gateway(settings) as other:
        answers = await asyncio.gather(
            *(one.client.get(STUDIES) for one in (gateway, other) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len(await lines(gateway)) == 40
    assert commanded(settings, "audit", "verify") == 0
    said = capsys.readouterr().out
    assert said.startswith("The audit log is whole: 43 entries, up to 43:")


async def test_the_log_is_read_page_by_page(gateway: RunningGateway) -> None:
    for _ in range(5):
        await gateway.client.get(STUDIES)
    first = (await gateway.client.get("/api/v1/audit", params={"limit": 2})).json()
    assert [line["seq"] for line in first["items"]] == [6, 5]
    rest = {"limit": 1000, "before": first["next_before"]}
    second = (await gateway.client.get("/api/v1/audit", params=rest)).json()
    assert [line["seq"] for line in second["items"]] == [4, 3, 2, 1]
    assert second["next_before"] is None
    refused(await gateway.client.get("/api/v1/audit", params={"limit": 0}), 422)
    refused(await gateway.client.get("/api/v1/audit", params={"patient": "x"}), 422)
    refused(await gateway.client.get("/api/v1/audit", params={"subject": "\0"}), 422)
    for since in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        asked = await gateway.client.get("/api/v1/audit", params={"since": since})
        assert asked.status_code == 200


async def test_an_operator_shows_anchors_and_verifies_the_log(
    gateway: RunningGateway, settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    study = (await gateway.post(png())).json()["id"]
    await gateway.client.get(STUDIES)

    def said(*arguments: str, status: int = 0) -> str:
        assert commanded(settings, "audit", *arguments) == status
        out, err = capsys.readouterr()
        assert (out if status else err) == ""
        return err if status else out

    asked = ("--study", study, "--action", "createStudy", "--since", "2020-01-01")
    [shown] = said("show", *asked).splitlines()
    assert json.loads(shown)["action"] == "createStudy"
    anchor = said("anchor").strip()
    assert said("verify", "--anchor", anchor) == (
        f"The audit log is whole: 3 entries, up to {anchor.partition('@')[0]}\n"
    )
    assert said("verify", "--anchor", f"9:{'0' * 64}", status=1) == (
        "audit: The log ends with entry 3; the anchor says that it had entry 9.\n"
    )
    exported = [json.loads(line) for line in said("export", "--after", "1").splitlines()]
    assert [entry["action"] for entry in exported] == ["createStudy", "listStudies"]
    assert Entry(**exported[0]).true_hash() == exported[0]["hash"]
    with pytest.raises(SystemExit, match="2"):
        commanded(settings, "audit", "verify", "--anchor", "9")
    assert "'9' is no anchor" in capsys.readouterr().err


async def test_a_changed_byte_ends_the_command_with_1_and_the_line(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    async with running_gateway(settings) as gateway:
        for _ in range(3):
            await gateway.client.get(STUDIES)
    run(settings, "DROP TRIGGER audit_log_no_update")
    run(settings, "UPDATE audit_log SET subject = 'locbl' WHERE seq = 2")
    verified = gateway_command(settings, "audit", "verify")
    assert (verified.returncode, verified.stdout) == (1, "")
    assert verified.stderr == ("audit: Entry 2 was changed: its hash is not that of its content.\n")


async def test_a_list_says_whose_data_it_showed_and_a_repeated_one_which_it_was(
    gateway: RunningGateway,
) -> None:
    studies = [(await gateway.post(png(50 + number, 60))).json()["id"] for number in range(3)]
    for _ in range(3):
        await gateway.client.get(STUDIES)
    await gateway.client.get(STUDIES, params={"limit": 1})
    first, second, third, other = [
        line["details"] for line in await lines(gateway) if line["action"] == "listStudies"
    ]
    assert sorted(first["studies"]) == sorted(studies)
    # An open page asks again and again: its entries stay small and say which list it was.
    assert second == third == {"same_studies": first["studies_digest"]}
    assert len(other["studies"]) == 1
    # Whoever asks for a study finds every list that showed it, repeated ones, too.
    seen = await lines(gateway, study_id=other["studies"][0], action="listStudies")
    assert [line["details"] for line in seen] == [first, second, third, other]
    unseen = next(study for study in studies if study not in other["studies"])
    seen = await lines(gateway, study_id=unseen, action="listStudies")
    assert [line["details"] for line in seen] == [first, second, third]
    assert await lines(gateway, study_id=new_study_id()) == []


async def test_every_operation_of_a_study_says_of_which(gateway: RunningGateway) -> None:
    study = (await gateway.post(png())).json()["id"]
    fixed = {"study_id": study, "finding": "Mass", "role": "classifier"}
    asked = []
    for operation in Operations(gateway.app.routes):
        if "{study_id}" not in operation.path or operation.id == "deleteStudy":
            continue
        path = operation.path
        for name, value in fixed.items():
            path = path.replace(f"{{{name}}}", value)
        path = path.replace("{entry_id}", str(UUID(int=1)))
        assert "{" not in path
        for method in sorted(operation.methods - {"HEAD"}):
            await gateway.client.request(method, path)
            asked.append((operation.id, study))
    await gateway.client.delete(f"{STUDIES}/{study}")
    found = [(line["action"], line["study_id"]) for line in await lines(gateway)]
    assert found == [("createStudy", study), *asked, ("deleteStudy", study)]
    assert {"getDiagnosticReport", "getDiagnosticReportBundle"} < {name for name, _ in asked}


async def test_instances_that_come_together_are_all_named(gateway: RunningGateway) -> None:
    files = [dicom(radiograph_like(64, 48, seed=seed).astype("u2")) for seed in (1, 2)]
    parts = [b"--b\r\nContent-Type: application/dicom\r\n\r\n" + one for one in files]
    kind = "multipart/related; type=application/dicom; boundary=b"
    body = b"\r\n".join([*parts, b"--b--\r\n"])
    headers = {"Content-Type": kind}
    answer = await gateway.client.post("/dicomweb/studies", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    [line] = await lines(gateway)
    items = (await gateway.client.get(STUDIES)).json()["items"]
    assert set(line["details"]["studies"]) == {item["id"] for item in items}
    assert len(items) == 2
    for item in items:
        assert line in await lines(gateway, study_id=item["id"])


async def test_a_draft_says_with_which_study_it_was_compared(gateway: RunningGateway) -> None:
    files = [dicom(radiograph_like(64, 48, seed=n).astype("u2"), PatientID="p") for n in (1, 2)]
    earlier, later = [(await gateway.post(file)).json()["id"] for file in files]
    asked = await gateway.client.get(f"{STUDIES}/{later}/report", params={"prior": earlier})
    assert asked.status_code == 200, asked.text
    found = await lines(gateway, study_id=earlier, action="getReport")
    assert [line["study_id"] for line in found] == [later]


async def test_an_export_says_that_and_by_whom_the_pixels_were_reviewed(tmp_path: Path) -> None:
    settings = closed_settings(tmp_path / "archive")
    async with (
        closed_gateway(settings) as gateway,
        client_as(gateway, Role.INTEGRATOR) as sender,
        client_as(gateway, Role.AUDITOR) as auditor,
    ):
        files = {"file": ("a.png", png(), "image/png")}
        study = (await sender.post(STUDIES, files=files)).json()["id"]
        path = f"{STUDIES}/{study}/deidentified"
        refused(await sender.get(path), 409)
        assert (await sender.get(path, params={"pixels_reviewed": True})).status_code == 200
        asked = {"action": "getStudyDeidentified"}
        without, reviewed = (await auditor.get("/api/v1/audit", params=asked)).json()["items"][::-1]
    assert without["details"] == {"pixels_reviewed": False}
    assert reviewed["details"] == {"pixels_reviewed": True}
    assert (reviewed["kind"], len(reviewed["subject"])) == ("key", 12)


async def test_an_auditor_reads_the_log_and_nothing_else_and_nobody_deletes_it(
    tmp_path: Path,
) -> None:
    async with (
        closed_gateway(closed_settings(tmp_path / "archive")) as gateway,
        client_as(gateway, Role.AUDITOR) as auditor,
        client_as(gateway, Role.ADMIN) as admin,
        client_as(gateway, Role.CLINICIAN) as clinician,
    ):
        assert (await auditor.get("/api/v1/audit")).status_code == 200
        refused(await auditor.get(STUDIES), 403)
        refused(await auditor.delete(f"{STUDIES}/{new_study_id()}"), 403)
        refused(await clinician.get("/api/v1/audit"), 403)
        for asker in (auditor, admin):
            for method in ("DELETE", "PUT", "PATCH", "POST"):
                refused(await asker.request(method, "/api/v1/audit"), 405)


async def test_repeated_refusals_are_counted_and_not_an_entry_each(tmp_path: Path) -> None:
    settings = closed_settings(tmp_path / "archive", trusted_proxies=1)
    async with closed_gateway(settings) as gateway:
        for number in range(40):
            refused(await gateway.client.get(f"/api/v1/nothing/{number}"), 404)
        for number in range(50):
            header = {"Authorization": f"Bearer cxr_{number}", "X-Forwarded-For": "10.0.0.9"}
            refused(await gateway.client.get(STUDIES, headers=header), 401)
        async with client_as(gateway, Role.AUDITOR) as auditor:
            asked = await auditor.get("/api/v1/audit", params={"limit": 1000})
            assert len(asked.json()["items"]) == 3  # the start, and the first of either kind
    with chain.audit_snapshot(settings) as connection:
        entries = list(chain.entries(connection))
        assert chain.verify(connection).count == len(entries) == 6
    found = {entry.action: entry for entry in entries if "repeated" in entry.detail}
    assert set(found) == {"noSuchOperation", "listStudies"}
    assert found["noSuchOperation"].detail["repeated"] == 39
    assert found["listStudies"].detail["repeated"] == 49
    assert (found["listStudies"].source, found["listStudies"].outcome) == ("10.0.0.9", 401)


async def test_signing_out_of_nothing_fills_no_log_and_locks_nobody_in(tmp_path: Path) -> None:
    settings = closed_settings(tmp_path / "archive", requests_per_minute=20)
    async with (
        closed_gateway(settings, oidc := FakeOidcProvider()) as gateway,
        browser(gateway.app) as person,
    ):
        await signed_in(person, oidc)
        statuses = [(await gateway.client.post(SIGN_OUT)).status_code for _ in range(40)]
        # To begin the sign-in was a request of that address, too.
        assert statuses == [200] * 19 + [429] * 21
        nobodys = [line for line in await entries_of(gateway) if line["action"] == "signOut"]
        assert [line["outcome"] for line in nobodys] == [200, 429]
        own = {"Sec-Fetch-Site": "same-origin"}
        assert (await person.post(SIGN_OUT, headers=own)).status_code == 200
        [last] = [line for line in await entries_of(gateway) if line["subject"] == "user-1"][-1:]
        assert (last["action"], last["outcome"]) == ("signOut", 200)


async def test_bodies_that_nobody_finishes_fill_no_log(tmp_path: Path) -> None:
    settings = closed_settings(tmp_path / "archive", failures_per_minute=5)
    async with closed_gateway(settings) as gateway:
        for _ in range(40):
            await broken_off(gateway, "/api/v1/sign-in/back-channel-logout")
        told = [line for line in await entries_of(gateway) if line["action"] == "endSessions"]
        assert [line["outcome"] for line in told] == [499, 429]
    with chain.audit_snapshot(settings) as connection:
        repeated = [
            x.detail["repeated"] for x in chain.entries(connection) if "repeated" in x.detail
        ]
    assert sorted(repeated) == [4, 34]


async def entries_of(gateway: RunningGateway) -> list[dict[str, Any]]:
    """What an auditor finds, the oldest first."""
    async with client_as(gateway, Role.AUDITOR) as auditor:
        answer = await auditor.get("/api/v1/audit", params={"limit": 1000})
        found: list[dict[str, Any]] = answer.json()["items"][::-1]
    return found


async def broken_off(gateway: RunningGateway, path: str) -> None:
    """Begin to send a form, and go away."""
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": b"logout_token=", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    form = (b"content-type", b"application/x-www-form-urlencoded")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", b"gateway"), form], "client": ("10.0.0.9", 4),
        "server": ("gateway", 80),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "http.disconnect"})

    async def send(_: Any) -> None:
        """Nobody is there any more."""

    with suppress(ClientDisconnect):
        await gateway.app(scope, receive, send)


def test_only_what_nobody_breaks_off_is_counted() -> None:
    summary = Summary()
    key, nobody = (
        Event(kind, kind, None, "createStudy", None, 499, "10.0.0.9", "r", None)
        for kind in ("key", "nobody")
    )
    assert [summary.counts(one) for one in (key, key, nobody, nobody)] == [False] * 3 + [True]


def test_however_many_ask_a_window_has_a_bounded_number_of_entries() -> None:
    summary, written = Summary(), 0
    for number in range(20_000):
        event = Event(
            "nobody", "nobody", None, "listStudies", None, 401, f"2001:db8::{number:x}", "r", None
        )
        written += not summary.counts(event)
    summed = summary.take()
    assert written + len(summed) <= 201
    [others] = [event for event in summed if event.subject == OTHERS]
    assert others.details is not None
    assert json.loads(others.details)["repeated"] == 20_000 - written
    assert summary.take() == []


@contextmanager
def full_database() -> Iterator[Callable[[bool], None]]:
    """SQLite databases that take no page more, once the yielded function is told so."""
    full = False

    def limit(connection: Any) -> None:
        if connection.dialect.name != "sqlite":
            return
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() if full else 1 << 30
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.rollback()

    def set_full(now: bool) -> None:
        nonlocal full
        full = now

    event.listen(Engine, "engine_connect", limit)
    try:
        yield set_full
    finally:
        event.remove(Engine, "engine_connect", limit)


async def test_at_a_full_database_reading_goes_on_and_an_upload_is_refused_until_there_is_room(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "archive")
    with full_database() as set_full:
        async with running_gateway(settings) as gateway:
            study = (await gateway.post(png())).json()["id"]
            set_full(True)
            statuses = []
            for _ in range(120):  # until the last page has no room left either
                statuses.append((await gateway.client.get(f"{STUDIES}/{study}")).status_code)
            assert set(statuses) == {200}
            waiting = gateway.app.state.gateway.audit.waiting
            assert waiting > 0
            sent = await gateway.post(png(90, 80))
            refused(sent, 507)
            assert [path for path in gateway.files() if study not in path] == []
            set_full(False)
            await asyncio.sleep(1.1)  # it is tried again once a second
            assert (await gateway.client.get(STUDIES)).json()["total"] == 1
            assert gateway.app.state.gateway.audit.waiting == 0
            # The sender has kept it, and sends it again.
            assert (await gateway.post(png(90, 80))).status_code == 201
            found = await lines(gateway)
        with chain.audit_snapshot(settings) as connection:
            chain.verify(connection)
    actions = [line["action"] for line in found]
    read = ["getStudy"] * 120
    assert actions == ["createStudy", *read, "createStudy", "listStudies", "createStudy"]
    assert [line["outcome"] for line in found if line["action"] == "createStudy"] == [201, 507, 201]
    waited = [line for line in found if "spooled_at" in (line["details"] or {})]
    assert len(waited) == waiting + 1


async def test_when_what_is_reserved_is_full_too_nothing_more_is_answered(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", audit_spool_mb=0)
    with full_database() as set_full:
        async with running_gateway(settings) as gateway:
            study = (await gateway.post(png())).json()["id"]
            set_full(True)
            statuses = {
                (await gateway.client.get(f"{STUDIES}/{study}")).status_code for _ in range(120)
            }
            assert statuses <= {200, 503}
            problem = refused(await gateway.client.get(f"{STUDIES}/{study}"), 503)
            assert "audit log" in problem.detail
            set_full(False)
            assert (await gateway.client.get(f"{STUDIES}/{study}")).status_code == 200


def test_what_a_killed_gateway_had_put_aside_is_taken_over_at_the_next_start(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "archive")
    settings.archive_dir.mkdir()
    killed = Spool(settings.archive_dir, 1)
    killed.put([by_the_machine("one"), by_the_machine("two")])
    [path] = (settings.archive_dir / "audit-spool").iterdir()
    alive = Spool(settings.archive_dir, 1)
    taken: list[Event] = []
    assert alive.adopt(taken.extend) == 0  # its owner lives
    killed.close()
    (path.parent / "empty.jsonl").write_bytes(bytes(1000))  # what a kill leaves of an unused one
    assert alive.adopt(taken.extend) == 2
    assert [event.action for event in taken] == ["one", "two"]
    assert not path.exists()
    alive.close()
    assert list((settings.archive_dir / "audit-spool").iterdir()) == []
