"""The database's roles on a real PostgreSQL: what a gateway that was taken over cannot do."""

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ProgrammingError

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive import open_files, schema
from cxr_gateway.archive.audit_entries import as_written
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, filled
from support.audit_logs import aged
from support.databases import postgresql_database, programs
from support.fake_gateway import settings_for

pytestmark = pytest.mark.slow
ROLES = Path(__file__).parents[3] / "deploy/database/roles.sql"


def make_roles(url: str) -> None:
    """What the database's image does with its own superuser."""
    address = url.replace("postgresql+psycopg://", "postgresql://")
    # No secret: nobody asks for it.
    names = (f"CXR_DATABASE_{role}_PASSWORD" for role in ("MIGRATOR", "APP"))
    passwords = dict.fromkeys(names, "not asked for")
    command = [str(programs() / "psql"), "--quiet", "--no-psqlrc", address]
    subprocess.run([*command, "--file", str(ROLES)], check=True, env={**os.environ, **passwords})


def acting_as(url: str, role: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database whose roles were made before its tables."""
    with postgresql_database() as made:
        make_roles(made)
        schema.migrate(acting_as(made, "cxr_migrator"), 5)
        yield made


@pytest.fixture
def app(url: str, tmp_path: Path) -> GatewaySettings:
    return settings_for(tmp_path / "archive", acting_as(url, "cxr_app"), migrate_at_start=False)


@pytest.fixture
def engine(app: GatewaySettings) -> Iterator[Engine]:
    opened = open_engine(app.resolved_database_url, 5)
    yield opened
    opened.dispose()


ATTACKS = {
    "an entry is changed": "UPDATE audit_log SET subject = 'somebody else'",
    "an entry is removed": "DELETE FROM audit_log",
    "the log is emptied": "TRUNCATE audit_log",
    "an anchor is written": "INSERT INTO audit_anchors (seq, hash) SELECT seq, hash FROM audit_log",
    "an anchor is removed": "DELETE FROM audit_anchors",
    "the time that entries are kept is shortened": "UPDATE audit_policy SET min_age_days = 1",
    "the guards are taken off": "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "one guard is dropped": "DROP TRIGGER audit_log_no_change ON audit_log",
    "a guard is replaced": "CREATE OR REPLACE FUNCTION audit_is_old(at text) RETURNS boolean "
    "LANGUAGE sql AS 'SELECT true'",
    "replication would pass the guards by": "SET session_replication_role = 'replica'",
    "the table is dropped": "DROP TABLE audit_log",
    "the table is renamed": "ALTER TABLE audit_log RENAME TO elsewhere",
    "a table of one's own stands before it": "CREATE TABLE pg_temp.audit_log (seq int)",
    "one acts as the owner": "SET ROLE cxr_owner",
    "the schema's version is changed": "UPDATE alembic_version SET version_num = '0001'",
    "older gateways are let in": "UPDATE schema_floor SET revision = '0001'",
    "a role is made": "CREATE ROLE another SUPERUSER",
    "a program is run": "COPY (SELECT 1) TO PROGRAM 'true'",
    "a file is read": "SELECT pg_read_file('/etc/passwd')",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_gateway_that_was_taken_over_cannot(engine: Engine, attack: str) -> None:
    with engine.begin() as connection:
        chain.append(connection, [by_the_machine("one")])
        before = chain.verify(connection)
    with pytest.raises((ProgrammingError, psycopg.Error)), engine.begin() as connection:
        connection.exec_driver_sql(ATTACKS[attack])
    with engine.begin() as connection:
        assert chain.verify(connection, [before.head]) == before


def test_the_gateways_own_pruning_removes_the_old_and_nothing_else(
    url: str, app: GatewaySettings, engine: Engine
) -> None:
    owner = open_engine(acting_as(url, "cxr_migrator"), 5)
    aged(owner, 1, "young")
    with engine.connect() as connection:
        young = chain.head(connection)
    files = open_files(app)
    removals = Removals(engine, files)
    assert removals.audit_entries("9", 100, by_the_machine(chain.PRUNE_ACTION)) == 0
    owner.dispose()
    with engine.connect() as connection:
        assert chain.has(connection, young)


def test_what_is_old_goes_by_the_gateways_role(tmp_path: Path) -> None:
    with postgresql_database() as made:
        make_roles(made)
        schema.migrate(acting_as(made, "cxr_migrator"), 5)
        owner = open_engine(acting_as(made, "cxr_migrator"), 5)
        aged(owner, 100, *("old" for _ in range(4)))
        settings = settings_for(tmp_path / "archive", acting_as(made, "cxr_app"))
        engine = open_engine(settings.resolved_database_url, 5)
        removals = Removals(engine, open_files(settings))
        young = by_the_machine(chain.PRUNE_ACTION)
        assert removals.audit_entries(as_written(datetime.now(UTC)), 3, young) == 3
        with engine.connect() as connection:
            assert chain.verify(connection).count == 2
        for one in (engine, owner):
            one.dispose()


async def test_a_gateway_works_with_its_rights_and_a_restore_with_the_migrators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with postgresql_database() as made:
        make_roles(made)
        migrator = settings_for(tmp_path / "archive", acting_as(made, "cxr_migrator"))
        app = settings_for(tmp_path / "archive", acting_as(made, "cxr_app"), migrate_at_start=False)
        assert commanded(migrator, "migrate") == 0
        studies = await filled(app, 2)
        back_up(app, tmp_path / "b.zip")
        assert commanded(app, "audit", "keep", "--days", "1") == 1
        assert "Only the owner" in capsys.readouterr().err
        assert commanded(migrator, "audit", "keep", "--days", "400") == 0
        restore(migrator, tmp_path / "b.zip", replace=True)
        assert commanded(migrator, "audit", "keep", "--days", "500") == 0
        assert "at least 400 days, and now for 500" in capsys.readouterr().out
        assert set(await filled(app, 1)).isdisjoint(studies)
        assert commanded(app, "audit", "verify") == 0


async def test_one_role_of_an_older_installation_gives_its_tables_to_the_owner(
    tmp_path: Path,
) -> None:
    with postgresql_database() as made:
        schema.migrate(made, 5)
        make_roles(made)
        make_roles(made)
        assert schema.migrate(acting_as(made, "cxr_migrator"), 5) == (
            schema.LATEST,
            schema.LATEST,
        )
        app = settings_for(tmp_path / "archive", acting_as(made, "cxr_app"), migrate_at_start=False)
        assert len(await filled(app, 1)) == 1
