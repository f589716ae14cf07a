"""What the audit log holds of requests, what it keeps from being answered, and its two doors."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, gateway
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    Stand,
    Unreachable,
    refused,
    settings_for,
    standing_gateway,
)
from support.images import png

STUDIES = "/api/v1/studies"


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, trusted_proxies=1)


@pytest.fixture
async def stand(settings: GatewaySettings) -> AsyncIterator[Stand]:
    async with standing_gateway(settings) as running:
        yield running


async def lines(stand: Stand, **query: Any) -> list[dict[str, Any]]:
    """The log's lines, the oldest first, without those of asking for them."""
    answer = await stand.client.get("/api/v1/audit", params={"limit": 1000, **query})
    assert answer.status_code == 200, answer.text
    return [line for line in answer.json()["items"][::-1] if line["action"] != "listAuditEntries"]


async def test_every_request_is_on_record_with_who_what_which_study_and_from_where(
    stand: Stand,
) -> None:
    study = (await stand.post(png(), **{"X-Request-ID": "first"})).json()["id"]
    await stand.client.get(f"{STUDIES}/{study}")
    await stand.client.get(f"{STUDIES}/{study}/image.png")
    await stand.client.get(STUDIES)
    await stand.client.get("/api/v1/system")
    await stand.client.get("/livez")
    found = await lines(stand)
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
    assert await lines(stand, study_id=study, action="getStudy") == [found[1]]
    assert await lines(stand, since=found[2]["at"]) == found[2:]


async def test_refusals_are_on_record(stand: Stand) -> None:
    unknown = new_study_id()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    refused(await stand.client.get(f"{STUDIES}/{unknown}"), 404)
    refused(await stand.client.get(f"{STUDIES}/Smith^John"), 404)
    refused(await stand.client.post(STUDIES, headers=foreign), 403)
    refused(await stand.client.delete(f"{STUDIES}/{unknown}", headers=foreign), 403)
    refused(await stand.client.get("/api/v1/nothing"), 404)
    refused(await stand.client.put(STUDIES), 405)
    await stand.post(png(), **{"Idempotency-Key": "k"})
    refused(await stand.post(png(90, 80), **{"Idempotency-Key": "k"}), 409)
    found = await lines(stand)
    assert [(line["action"], line["outcome"], line["study_id"]) for line in found if
            line["outcome"] != 201] == [
        ("getStudy", 404, unknown),
        ("getStudy", 404, None),
        ("createStudy", 403, None),
        ("deleteStudy", 403, unknown),
        ("noSuchOperation", 404, None),
        ("noSuchOperation", 405, None),
        ("createStudy", 409, None),
    ]  # fmt: skip
    assert all(line["request_id"] for line in found)
    assert "Smith" not in json.dumps(found)


async def test_a_study_that_no_reader_could_read_is_named_all_the_same(
    settings: GatewaySettings,
) -> None:
    down = {CLASSIFIER_URL: Unreachable(), DETECTOR_URL: Unreachable()}
    async with standing_gateway(settings, transports=down) as stand:
        problem = refused(await stand.post(png()), 503)
        [line] = await lines(stand)
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
    async with standing_gateway(settings_for(tmp_path / "archive", trusted_proxies=1)) as stand:
        await stand.client.get(STUDIES, headers={"X-Forwarded-For": header})
        assert [line["source"] for line in await lines(stand)] == [source]


async def test_without_a_trusted_proxy_nobody_can_write_an_address(tmp_path: Path) -> None:
    async with standing_gateway(settings_for(tmp_path / "archive")) as stand:
        await stand.client.get(STUDIES, headers={"X-Forwarded-For": "10.1.2.3"})
        assert [line["source"] for line in await lines(stand)] == ["127.0.0.1"]


async def test_what_cannot_be_put_on_record_is_not_answered(
    stand: Stand, settings: GatewaySettings
) -> None:
    study = (await stand.post(png())).json()["id"]
    run(settings, "ALTER TABLE audit_log RENAME TO elsewhere")
    for path in (f"{STUDIES}/{study}", f"{STUDIES}/{study}/image.png", STUDIES):
        answer = await stand.client.get(path)
        problem = refused(answer, 503)
        assert "audit log" in problem.detail
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Request-ID"]
        assert answer.headers["Retry-After"] == "5"
        assert "ETag" not in answer.headers
    refused(await stand.client.delete(f"{STUDIES}/{study}"), 503)
    assert (await stand.client.get("/api/v1/system")).status_code == 200
    run(settings, "ALTER TABLE elsewhere RENAME TO audit_log")
    assert (await stand.client.get(f"{STUDIES}/{study}")).status_code == 200


def run(settings: GatewaySettings, statement: str) -> None:
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


async def test_two_gateways_on_one_archive_write_one_chain(
    stand: Stand, settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with standing_gateway(settings) as other:
        answers = await asyncio.gather(
            *(one.client.get(STUDIES) for one in (stand, other) for _ in range(20))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len(await lines(stand)) == 40
    assert commanded(settings, "audit", "verify") == 0
    said = capsys.readouterr().out
    assert said.startswith("The audit log is whole: 41 entries, up to 41:")


async def test_the_log_is_read_page_by_page(stand: Stand) -> None:
    for _ in range(5):
        await stand.client.get(STUDIES)
    first = (await stand.client.get("/api/v1/audit", params={"limit": 2})).json()
    assert [line["seq"] for line in first["items"]] == [5, 4]
    rest = {"limit": 1000, "before": first["next_before"]}
    second = (await stand.client.get("/api/v1/audit", params=rest)).json()
    assert [line["seq"] for line in second["items"]] == [3, 2, 1]
    assert second["next_before"] is None
    refused(await stand.client.get("/api/v1/audit", params={"limit": 0}), 422)
    refused(await stand.client.get("/api/v1/audit", params={"patient": "x"}), 422)
    refused(await stand.client.get("/api/v1/audit", params={"subject": "\0"}), 422)
    for since in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        asked = await stand.client.get("/api/v1/audit", params={"since": since})
        assert asked.status_code == 200


async def test_an_operator_shows_anchors_and_verifies_the_log(
    stand: Stand, settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    study = (await stand.post(png())).json()["id"]
    await stand.client.get(STUDIES)

    def said(*arguments: str, status: int = 0) -> str:
        assert commanded(settings, "audit", *arguments) == status
        out, err = capsys.readouterr()
        assert (out if status else err) == ""
        return err if status else out

    [shown] = said("show", "--study", study, "--since", "2020-01-01").splitlines()
    assert json.loads(shown)["action"] == "createStudy"
    anchor = said("anchor").strip()
    assert said("verify", "--anchor", anchor) == (
        f"The audit log is whole: 2 entries, up to {anchor}\n"
    )
    assert said("verify", "--anchor", f"9:{'0' * 64}", status=1) == (
        "audit: The log ends with entry 2; the anchor says that it had entry 9.\n"
    )
    with pytest.raises(SystemExit, match="2"):
        commanded(settings, "audit", "verify", "--anchor", "9")
    assert "'9' is no anchor" in capsys.readouterr().err


async def test_a_changed_byte_ends_the_command_with_1_and_the_line(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    async with standing_gateway(settings) as stand:
        for _ in range(3):
            await stand.client.get(STUDIES)
    run(settings, "DROP TRIGGER audit_log_no_update")
    run(settings, "UPDATE audit_log SET subject = 'locbl' WHERE seq = 2")
    verified = gateway(settings, "audit", "verify")
    assert (verified.returncode, verified.stdout) == (1, "")
    assert verified.stderr == ("audit: Entry 2 was changed: its hash is not that of its content.\n")
