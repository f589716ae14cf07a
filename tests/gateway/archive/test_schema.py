"""The schema: today's, older, newer, another program's; on SQLite and PostgreSQL, with data."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from cxr_gateway.archive import open_archive, schema
from cxr_gateway.archive.tables import Base
from cxr_gateway.core.errors import SchemaMismatch
from cxr_gateway.core.settings import GatewaySettings
from support.archives import content_of, filled, gateway_command
from support.databases import database_url
from support.fake_gateway import settings_for

__all__ = ["database_url"]


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    (tmp_path / "archive").mkdir()
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
def engine(settings: GatewaySettings) -> Iterator[Engine]:
    opened = create_engine(settings.resolved_database_url)
    yield opened
    opened.dispose()


def refusing(settings: GatewaySettings) -> GatewaySettings:
    return settings.model_copy(update={"migrate_at_start": False})


def forget_revision(engine: Engine) -> None:
    """Make the database what 0.1 left: its tables, without a revision."""
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))


# SQLite cannot tell what an index over an expression is made of.
@pytest.mark.filterwarnings(
    "ignore:autogenerate skipping metadata-specified expression-based index"
)
def test_models_and_migrations_agree(settings: GatewaySettings, engine: Engine) -> None:
    schema.migrate(settings.resolved_database_url, 2)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


async def test_an_archive_of_0_1_is_recognised_and_keeps_its_studies(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = await filled(settings)
    # As 0.1 made its tables, and with its studies in them.
    schema.migrate(settings.resolved_database_url, 2, "0001")
    forget_revision(engine)
    with pytest.raises(SchemaMismatch, match="migrate"):
        async with open_archive(refusing(settings)):
            pass
    assert schema.migrate(settings.resolved_database_url, 2) == (None, schema.LATEST)
    assert await content_of(refusing(settings)) == studies


TABLES_0_1 = ("studies", "idempotency_keys")


async def test_every_step_goes_down_and_up_again_with_data_in_it(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = await filled(settings)
    url = settings.resolved_database_url
    for revision in schema.REVISIONS[::-1]:
        assert schema.migrate(url, 2, revision)[1] == revision
    assert schema.migrate(url, 2)[1] == schema.LATEST
    assert await content_of(settings) == studies
    assert schema.migrate(url, 2, schema.EMPTY) == (schema.LATEST, None)
    assert not set(TABLES_0_1) & set(inspect(engine).get_table_names())


async def test_a_newer_schema_is_refused_with_a_sentence_and_left_alone(
    settings: GatewaySettings, engine: Engine
) -> None:
    await filled(settings, 1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
        connection.execute(text("UPDATE schema_floor SET revision = '0999'"))
    for attempt in (settings, refusing(settings)):
        with pytest.raises(SchemaMismatch, match=r"0999, and this gateway knows .* newer gateway"):
            async with open_archive(attempt):
                pass
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0999"


def test_a_foreign_table_is_refused(settings: GatewaySettings, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE studies (title TEXT)"))
    with pytest.raises(SchemaMismatch, match="`studies` that is not this archive's"):
        schema.migrate(settings.resolved_database_url, 2)
    assert [column["name"] for column in inspect(engine).get_columns("studies")] == ["title"]


def test_of_gateways_that_start_at_once_one_migrates_and_the_others_wait(
    settings: GatewaySettings,
) -> None:
    url, went = settings.resolved_database_url, []
    threads = [
        threading.Thread(target=lambda: went.append(schema.migrate(url, 2))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(went, key=str) == [(schema.LATEST, schema.LATEST)] * 3 + [(None, schema.LATEST)]


def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    settings: GatewaySettings, engine: Engine
) -> None:
    def fail_at_its_end() -> None:
        with schema.exclusively(settings.resolved_database_url, 2) as connection:
            schema.change(connection, schema.LATEST)
            raise KeyError("killed")

    with pytest.raises(KeyError):
        fail_at_its_end()
    assert inspect(engine).get_table_names() == []


def test_the_service_does_not_start_on_another_schema(
    settings: GatewaySettings, engine: Engine
) -> None:
    schema.migrate(settings.resolved_database_url, 2)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
        connection.execute(text("UPDATE schema_floor SET revision = '0999'"))
    ended = gateway_command(settings)
    assert ended.returncode == 2
    assert "The gateway cannot start: The archive's database has schema 0999" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_service_does_not_start_on_a_volume_without_room(tmp_path: Path) -> None:
    ended = gateway_command(settings_for(tmp_path / "archive", max_upload_bytes=1 << 60))
    assert ended.returncode == 2
    assert "MB are free on this volume" in ended.stderr
    assert "Traceback" not in ended.stderr
