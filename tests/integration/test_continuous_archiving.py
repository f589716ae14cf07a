"""PostgreSQL's continuous archiving by the blocks of docs/backup.md, on a real server."""

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from cxr_gateway.archive import open_files
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import EXPIRY_ACTION, Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, content_of, filled
from support.databases import OwnServer, own_postgresql, psycopg_url
from support.documented import tried_block
from support.fake_gateway import settings_for
from support.waiting import eventually

pytestmark = pytest.mark.slow


def documented(name: str, folder: Path, archive: Path) -> str:
    """A block of the page, in folders of this test."""
    places = {
        "/var/lib/cxr/archive": archive,
        "/var/lib/cxr/recovered": folder / "archive",
        "/var/lib/postgresql/recovered": folder / "recovered",
        "/srv": folder,
    }
    return tried_block("backup.md", name, places)


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with own_postgresql() as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the copies lie, which the database's user has to reach."""
    with tempfile.TemporaryDirectory(prefix="cxr-archiving-") as name:
        folder = Path(name)
        for path in (folder, *(folder / part for part in ("cxr-wal", "cxr-base", "cxr-files"))):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        yield folder


def as_database_user(server: OwnServer, script: str) -> None:
    programs = str(server.server.bin_path)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": str(server.socket.parent),
        "PGUSER": "postgres",
    }
    # Its files are root's alone in a test.
    user = server.server.system_user
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, env=environment, user=user, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def recovered(server: OwnServer, folder: Path) -> Iterator[str]:
    """The recovered database's URL, while its server runs."""
    socket = folder / "socket"
    socket.mkdir()
    socket.chmod(0o777)
    data = folder / "recovered"
    options = f"-k {socket} -c listen_addresses="
    as_database_user(server, f"pg_ctl -w -t 60 -D {data} -l {folder}/log -o '{options}' start")
    address = f"postgresql://postgres@/postgres?host={socket}"

    def is_promoted() -> bool:
        with psycopg.connect(address) as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        return row == (False,)

    try:
        eventually(is_promoted, "the recovered server takes no writes", 60)
        yield psycopg_url(address, "cxr")
    finally:
        as_database_user(server, f"pg_ctl -w -m immediate -D {data} stop")


def archiving(server: OwnServer, folder: Path, archive: Path) -> None:
    """Turn the archiving on, as the page says."""
    data = Path(server.server.pgdata)
    with (data / "postgresql.conf").open("a") as config:
        config.write(documented("postgresql.conf", folder, archive))
    server.crash_and_start()


def everything_is_archived(server: OwnServer, folder: Path) -> None:
    """Return when the log up to now is among the copies."""
    with psycopg.connect(server.server.get_uri(), autocommit=True) as connection:
        row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row is not None
    archived = folder / "cxr-wal" / str(row[0])
    eventually(archived.is_file, "the log is not archived", 60)


def remove(settings: GatewaySettings, study: str) -> None:
    engine = open_engine(settings.resolved_database_url, 5)
    assert Removals(engine, open_files(settings)).study(
        study, by_the_machine(EXPIRY_ACTION, study_id=study)
    )
    engine.dispose()


def test_what_was_committed_until_a_moment_comes_back_and_what_was_deleted_since_goes_again(
    server: OwnServer, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(folder / "live", server.url)
    archiving(server, folder, settings.archive_dir)
    assert commanded(settings, "migrate") == 0
    before = asyncio.run(filled(settings, 3))
    copies = documented("copies", folder, settings.archive_dir)
    base, files = copies.strip().splitlines()
    as_database_user(server, base)
    # What came after the copy, and is in the log alone.
    after = asyncio.run(filled(settings, 2))
    time.sleep(1.1)
    moment = datetime.now(UTC)
    time.sleep(1.1)
    # A mistake, and a patient's wish.
    asyncio.run(filled(settings, 1))
    subprocess.run(["bash", "-euc", files], check=True)
    wished = next(iter(before))
    remove(settings, wished)
    capsys.readouterr()
    assert commanded(settings, "audit", "export") == 0
    entries = tmp_path / "entries.jsonl"
    entries.write_text(capsys.readouterr().out)
    everything_is_archived(server, folder)

    recovery = documented("recovery", folder, settings.archive_dir)
    written = re.search(r"recovery_target_time = '([^']*)'", recovery)
    assert written is not None
    recovery = recovery.replace(written[1], f"{moment:%Y-%m-%d %H:%M:%S.%f}+00")
    *of_the_database, of_the_files = recovery.strip().splitlines()
    as_database_user(server, "\n".join(of_the_database))
    subprocess.run(["bash", "-euc", of_the_files], check=True)
    with recovered(server, folder) as url:
        back = settings_for(folder / "archive", url)
        assert asyncio.run(content_of(back)) == before | after
        assert commanded(back, "audit", "verify") == 0
        copy = tmp_path / "recovered.zip"
        assert commanded(back, "backup", "--to", str(copy)) == 0
        arguments = ("--replace", "--from", str(copy), "--deleted", str(entries))
        assert commanded(back, "restore", *arguments) == 0
        kept = before | after
        del kept[wished]
        assert asyncio.run(content_of(back)) == kept


def test_the_end_of_the_log_is_where_it_comes_back_to_without_a_moment(
    server: OwnServer, folder: Path
) -> None:
    settings = settings_for(folder / "live", server.url)
    archiving(server, folder, settings.archive_dir)
    before = asyncio.run(filled(settings, 1))
    base, files = documented("copies", folder, settings.archive_dir).strip().splitlines()
    as_database_user(server, base)
    after = asyncio.run(filled(settings, 2))
    subprocess.run(["bash", "-euc", files], check=True)
    everything_is_archived(server, folder)
    recovery = documented("recovery", folder, settings.archive_dir)
    recovery = re.sub(r"recovery_target_time = .*\n", "", recovery)
    *of_the_database, of_the_files = recovery.strip().splitlines()
    as_database_user(server, "\n".join(of_the_database))
    subprocess.run(["bash", "-euc", of_the_files], check=True)
    with recovered(server, folder) as url:
        back = settings_for(folder / "archive", url)
        assert asyncio.run(content_of(back)) == before | after
