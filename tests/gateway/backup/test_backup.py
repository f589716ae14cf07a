"""Backup and restore: whole or not at all, between SQLite, PostgreSQL, a folder and a bucket."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cxr_gateway.archive import Archive, open_archive, schema
from cxr_gateway.archive.models import GREYS_NAME, PIXELS_NAME, owned_by
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.form import BackupError, file_name, file_of, verify
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.core.settings import GatewaySettings
from support.archives import content_of, environment_of, filled, gateway_command, put
from support.databases import postgresql_database
from support.fake_gateway import settings_for
from support.s3_server import S3Server, free_port

RESTORE = (sys.executable, "-m", "cxr_gateway", "restore", "--replace")


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
def other(tmp_path: Path, database_url: str | None) -> Iterator[GatewaySettings]:
    """An empty archive whose database is of the other kind."""
    folder = tmp_path / "other"
    if database_url is not None:
        yield settings_for(folder, None, database_timeout_s=2)
        return
    with postgresql_database() as url:
        yield settings_for(folder, url, database_timeout_s=2)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    server = S3Server(free_port())
    server.start()
    yield server
    server.stop()


def local(tmp_path: Path, name: str = "archive") -> GatewaySettings:
    return settings_for(tmp_path / name, database_timeout_s=2)


async def test_a_backup_restores_into_the_other_kind_of_database(
    settings: GatewaySettings, other: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings)
    manifest = back_up(settings, tmp_path / "b.zip")
    assert (manifest.studies, manifest.missing) == (3, [])
    assert (tmp_path / "b.zip").stat().st_mode & 0o777 == 0o600
    restore(other, tmp_path / "b.zip", replace=False)
    assert await content_of(other) == studies
    back_up(other, tmp_path / "again.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as one, zipfile.ZipFile(tmp_path / "again.zip") as two:
        # The restore itself is a line of the other's audit log.
        own = {"manifest.json", "rows/audit_log.jsonl"}
        names = set(one.namelist()) - own
        assert names == set(two.namelist()) - own
        for name in names:
            assert sorted(one.read(name).splitlines()) == sorted(two.read(name).splitlines())


async def test_a_backup_of_what_0_1_left_comes_back_at_todays_schema(
    settings: GatewaySettings, other: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings)
    schema.migrate(settings.resolved_database_url, 2, "0001")
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
    assert back_up(settings, tmp_path / "b.zip").schema_revision == "0001"
    restore(other, tmp_path / "b.zip", replace=False)
    assert await content_of(other.model_copy(update={"migrate_at_start": False})) == studies


async def test_a_backup_while_studies_arrive_is_one_moment_of_the_archive(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    await filled(settings, 5)
    async with open_archive(settings) as archive:
        writing = asyncio.create_task(_write_until_cancelled(archive))
        manifest = await asyncio.to_thread(back_up, settings, tmp_path / "b.zip")
        writing.cancel()
    assert verify(tmp_path / "b.zip") == manifest
    assert manifest.missing == []
    with zipfile.ZipFile(tmp_path / "b.zip") as archived:
        rows = [json.loads(line) for line in archived.read("rows/studies.jsonl").splitlines()]
    assert len(rows) >= 5
    for row in rows:
        original = manifest.entries[f"studies/{row['id']}/original.png"]
        assert original.sha256 == row["content_sha256"]


async def _write_until_cancelled(archive: Archive) -> None:
    for number in range(10_000):
        await put(archive, f"while copying {number}".encode())


async def test_an_archive_with_studies_is_replaced_only_when_told(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    before = await filled(settings)
    back_up(settings, tmp_path / "b.zip")
    later = await filled(settings, 1)
    refused = gateway_command(settings, "restore", "--from", str(tmp_path / "b.zip"))
    assert refused.returncode == 1
    assert refused.stderr == (
        "restore: The archive holds 4 studies. `--replace` puts the backup in their place.\n"
    )
    assert await content_of(settings) == before | later
    told = gateway_command(settings, "restore", "--replace", "--from", str(tmp_path / "b.zip"))
    assert (told.returncode, told.stderr) == (0, "")
    assert await content_of(settings) == before
    assert {path.name for path in settings.archive_dir.glob("studies/*/*")} == before.keys()


@pytest.mark.parametrize("damage", ["cut", "changed", "foreign", "absent"])
async def test_a_damaged_backup_is_one_sentence_and_changes_nothing(
    tmp_path: Path, damage: str
) -> None:
    await filled(local(tmp_path))
    back_up(local(tmp_path), path := tmp_path / "b.zip")
    content = path.read_bytes()
    middle = content.index(b"radiograph 1")
    damaged = {
        "cut": content[: len(content) // 2],
        "changed": content[:middle] + b"X" + content[middle + 1 :],
        "foreign": b"not a zip",
        "absent": b"",
    }[damage]
    path.write_bytes(damaged) if damaged else path.unlink()
    with pytest.raises(BackupError) as refused:
        restore(local(tmp_path, "new"), path, replace=False)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    assert await content_of(local(tmp_path, "new")) == {}
    assert list((tmp_path / "new").glob("studies/*/*")) == []


@pytest.mark.parametrize("entry", ["studies/../../../etc/x.png", "/etc/x.png", "rows/../x.jsonl"])
def test_an_entry_that_would_leave_the_archive_is_refused(tmp_path: Path, entry: str) -> None:
    manifest = {
        "format": 1,
        "product": "1",
        "schema_revision": "0001",
        "made_at": "now",
        "studies": 0,
        "missing": [],
        "entries": {entry: {"size_bytes": 1, "sha256": "0" * 64}},
    }
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(entry, b"x")
        archive.writestr("manifest.json", json.dumps(manifest))
    with pytest.raises(BackupError, match="belongs to no backup"):
        verify(tmp_path / "b.zip")


async def test_an_archive_in_use_is_not_restored_into(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    await filled(settings, 1)
    back_up(settings, tmp_path / "b.zip")
    async with open_archive(settings):
        elsewhere = settings.model_copy(update={"archive_dir": tmp_path / "elsewhere"})
        users = [settings] if settings.database_url is None else [settings, elsewhere]
        for attempt in users:
            with pytest.raises(BackupError, match="gateway uses"):
                await asyncio.to_thread(restore, attempt, tmp_path / "b.zip", replace=True)


async def test_a_volume_without_room_keeps_no_half_backup(tmp_path: Path) -> None:
    async with open_archive(local(tmp_path)) as archive:
        await put(archive, os.urandom(300_000))
    target = tmp_path / "backups/b.zip"
    target.parent.mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    ended = subprocess.run(
        [sys.executable, "-m", "cxr_gateway", "backup", "--to", str(target)],
        # Byte code would be kept cut off at the limit, for every later process.
        env=environment_of(local(tmp_path)) | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    sentence = "there is no room for the backup; nothing of it was kept."
    assert ended.stderr == f"backup: {target}: {sentence}\n"
    assert list(target.parent.iterdir()) == []


async def test_a_killed_backup_is_none_and_the_next_one_clears_it_away(tmp_path: Path) -> None:
    async with open_archive(local(tmp_path)) as archive:
        for _ in range(3):
            await put(archive, os.urandom(300_000))
    target = tmp_path / "backups/b.zip"
    target.parent.mkdir()
    os.mkfifo(tmp_path / "held")
    # The second radiograph is a pipe that nobody writes to: the copy stands still in its middle.
    radiographs = sorted((tmp_path / "archive").glob("studies/*/*/original.png"))
    radiographs[1].unlink()
    (tmp_path / "held").rename(radiographs[1])
    running = subprocess.Popen(
        [sys.executable, "-m", "cxr_gateway", "backup", "--to", str(target)],
        env=environment_of(local(tmp_path)),
    )
    _wait_for(lambda: any(path.stat().st_size for path in target.parent.iterdir()))
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not target.exists()
    [half] = target.parent.iterdir()
    with pytest.raises(BackupError, match="cut short"):
        verify(half)
    radiographs[1].unlink()
    manifest = back_up(local(tmp_path), target)
    assert [path.name for path in target.parent.iterdir()] == ["b.zip"]
    assert manifest.missing == [radiographs[1].parent.name]


async def test_a_killed_restore_leaves_the_archive_as_it_was(tmp_path: Path) -> None:
    source, archive = local(tmp_path, "source"), local(tmp_path)
    restored = await filled(source, 40)
    back_up(source, tmp_path / "b.zip")
    before = await filled(archive, 2)
    running = subprocess.Popen(
        [*RESTORE, "--from", str(tmp_path / "b.zip")],
        env=environment_of(archive),
    )
    _wait_for(lambda: len(list(archive.archive_dir.glob("studies/*/*"))) > 2)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert await content_of(archive) == before
    assert len(list(archive.archive_dir.glob("studies/*/*"))) == 2  # swept at the start
    restore(archive, tmp_path / "b.zip", replace=True)
    assert await content_of(archive) == restored


async def test_a_file_that_cannot_be_written_ends_a_restore_and_leaves_the_archive_as_it_was(
    tmp_path: Path,
) -> None:
    source, archive = local(tmp_path, "source"), local(tmp_path)
    restored = await filled(source, 40)
    back_up(source, tmp_path / "b.zip")
    before = await filled(archive, 2)
    folders = [path.parent for path in source.archive_dir.glob("studies/*/*")]
    there = {path.name for path in (archive.archive_dir / "studies").iterdir()}
    taken = next(path.name for path in folders if path.name not in there)
    in_the_way = archive.archive_dir / "studies" / taken
    in_the_way.write_bytes(b"")
    refused = gateway_command(archive, "restore", "--replace", "--from", str(tmp_path / "b.zip"))
    assert refused.returncode == 1, refused.stderr
    assert refused.stderr.startswith("restore: The archive's folder cannot be used"), refused.stderr
    in_the_way.unlink()
    assert await content_of(archive) == before
    restore(archive, tmp_path / "b.zip", replace=True)
    assert await content_of(archive) == restored


async def test_a_backup_moves_an_archive_into_a_bucket_and_back(
    tmp_path: Path, s3: S3Server
) -> None:
    s3.empty()
    studies = await filled(local(tmp_path))
    back_up(local(tmp_path), tmp_path / "b.zip")
    bucket = settings_for(tmp_path / "bucket", **s3.settings())
    restore(bucket, tmp_path / "b.zip", replace=False)
    assert await content_of(bucket) == studies
    assert len(s3.all_keys()) == 6
    assert list((tmp_path / "bucket").glob("studies/*/*")) == []
    back_up(bucket, tmp_path / "c.zip")
    restore(local(tmp_path, "back"), tmp_path / "c.zip", replace=False)
    assert await content_of(local(tmp_path, "back")) == studies


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize(
    "name", ["original.png", "image.png", PIXELS_NAME, GREYS_NAME, "heatmap-1-Metal-clip.png"]
)
def test_whatever_a_study_has_is_taken_into_a_backup(name: str) -> None:
    study = new_study_id()
    assert owned_by(ImageSource.PNG, 1)(name)
    assert file_of(file_name(study, name)) == (study, name)
    assert file_of(f"studies/{study}/../{name}") is None
