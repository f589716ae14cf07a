"""Departments and keys under migration, backup and restore, on both databases."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from cxr_gateway.archive import open_archive, schema
from cxr_gateway.archive.api_keys import Keys
from cxr_gateway.archive.sessions import Person, Sessions
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.errors import SchemaMismatch
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.archives import put
from support.fake_gateway import settings_for

BEFORE = schema.REVISIONS[schema.REVISIONS.index("0003") - 1]


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    (tmp_path / "archive").mkdir()
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
def engine(settings: GatewaySettings) -> Iterator[Engine]:
    opened = create_engine(settings.resolved_database_url)
    yield opened
    opened.dispose()


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


async def test_a_radiograph_of_two_departments_cannot_go_back_to_an_older_schema(
    settings: GatewaySettings, engine: Engine
) -> None:
    async with open_archive(settings) as archive:
        for department in (None, "radiology", "surgery"):
            await put(archive, b"radiograph", "key", department)
    with pytest.raises(SchemaMismatch, match="2 radiographs are in several departments"):
        schema.migrate(settings.resolved_database_url, 2, BEFORE)
    found = rows(engine, "SELECT department FROM studies ORDER BY department")
    assert found == [("",), ("radiology",), ("surgery",)]
    assert len(rows(engine, "SELECT key FROM idempotency_keys")) == 3


async def test_radiographs_of_departments_go_back_and_forth_and_are_nobodys_afterwards(
    settings: GatewaySettings, engine: Engine
) -> None:
    async with open_archive(settings) as archive:
        await put(archive, b"one", "key", "radiology")
        await put(archive, b"two", "key", "surgery")
    url = settings.resolved_database_url
    assert schema.migrate(url, 2, BEFORE)[1] == BEFORE
    assert len(rows(engine, "SELECT id FROM studies")) == 2
    assert len(rows(engine, "SELECT key FROM idempotency_keys")) == 1
    schema.migrate(url, 2)
    assert rows(engine, "SELECT DISTINCT department FROM studies") == [("",)]
    assert rows(engine, "SELECT department, key FROM idempotency_keys") == [("", "key")]


async def test_a_backup_carries_keys_and_departments_and_no_session(
    settings: GatewaySettings, engine: Engine, tmp_path: Path
) -> None:
    async with open_archive(settings) as archive:
        await put(archive, b"radiograph", None, "radiology")
        await put(archive, b"radiograph", None, "surgery")
    key, token = Keys(engine).create("PACS", frozenset({Role.INTEGRATOR}), "radiology", None)
    sessions = Sessions(engine, settings)
    session = sessions.open(Person("user-1", "Test", frozenset({Role.VIEWER}), None, "a.b.c"))
    back_up(settings, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archived:
        names = archived.namelist()
        [line] = archived.read("rows/api_keys.jsonl").splitlines()
    # Nor what a restored copy must not do: call somebody.
    live = ("sessions", "sign_ins", "webhooks", "webhook_deliveries")
    assert not {f"rows/{table}.jsonl" for table in live} & set(names)
    assert token[17:] not in line.decode()
    assert json.loads(line)["department"] == "radiology"
    engine.dispose()
    # In place of an archive whose radiographs would have no place in an older schema.
    restore(settings, tmp_path / "b.zip", replace=True)
    assert Keys(engine).find(token) == key
    assert sessions.find(session, attended=True) is None
    assert len(rows(engine, "SELECT id FROM studies")) == 2


def test_sqlite_commits_no_rows_that_point_to_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'archive.sqlite3'}"
    schema.migrate(url, 2)
    statement = "INSERT INTO idempotency_keys VALUES ('', 'key', 'sha', 'no such study')"
    with (
        pytest.raises(SchemaMismatch, match="`idempotency_keys` has rows that point to nothing"),
        schema.exclusively(url, 2) as connection,
    ):
        connection.execute(text(statement))
