"""A backup's MAC, what it leaves out, what it may not be, and that the deleted stay deleted."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from cxr_gateway.archive import open_files
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.pseudonym_key import pseudonym_key
from cxr_gateway.archive.removal import EXPIRY_ACTION, Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup import form
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.form import MAC, MANIFEST, BackupError, verify
from cxr_gateway.backup.restore import restore
from cxr_gateway.backup.sealing import BackupKey, backup_key
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, content_of, filled
from support.fake_gateway import settings_for

KEY = "0123456789abcdef" * 4


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None, key_file: Path) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, backup_key_file=key_file)


def key_of(settings: GatewaySettings) -> str:
    engine = open_engine(settings.resolved_database_url, 5)
    try:
        return pseudonym_key(engine).hex()
    finally:
        engine.dispose()


def remove(settings: GatewaySettings, study: str) -> None:
    engine = open_engine(settings.resolved_database_url, 5)
    event = by_the_machine(EXPIRY_ACTION, study_id=study)
    assert Removals(engine, open_files(settings)).study(study, event)
    engine.dispose()


def changed(source: Path, target: Path, **entries: bytes | None) -> Path:
    """A copy with some entries changed, or left out where they are None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = entries.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


async def test_a_backup_is_restored_with_its_key_and_holds_no_secret_in_clear(
    settings: GatewaySettings, tmp_path: Path, key_file: Path
) -> None:
    studies, secret = await filled(settings, 2), key_of(settings)
    back_up(settings, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert secret.encode() not in everything
    assert KEY.encode() not in everything
    target = settings_for(tmp_path / "target", backup_key_file=key_file)
    restore(target, tmp_path / "b.zip", replace=False)
    assert await content_of(target) == studies
    assert key_of(target) == secret


async def test_a_sealed_backup_is_not_read_without_its_key(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    await filled(settings, 1)
    back_up(settings, tmp_path / "b.zip")
    without = settings_for(tmp_path / "target")
    with pytest.raises(BackupError, match="CXR_GATEWAY_BACKUP_KEY_FILE"):
        restore(without, tmp_path / "b.zip", replace=False)
    assert commanded(without, "verify", "--from", str(tmp_path / "b.zip")) != 0


async def test_a_forged_backup_is_refused_and_changes_nothing(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings, 1)
    source = tmp_path / "b.zip"
    back_up(settings, source)
    with zipfile.ZipFile(source) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    another = BackupKey(b"x" * 32)
    # Whole by its own sums, and not ours.
    forged = json.dumps(manifest | {"studies": 7}).encode()
    forgeries: dict[str, dict[str, bytes | None]] = {
        "manifest": {MANIFEST: forged},
        "its mac": {MAC: b"0" * 64},
        "no mac": {MAC: None},
        "another key": {MANIFEST: forged, MAC: another.mac(forged).encode()},
    }
    for number, entries in enumerate(forgeries.values()):
        path = changed(source, tmp_path / f"forged-{number}.zip", **entries)
        with pytest.raises(BackupError, match=r"key, or was changed|carries no MAC"):
            restore(settings, path, replace=True)
    assert await content_of(settings) == studies
    assert commanded(settings, "verify", "--from", str(source)) == 0


async def test_without_a_key_a_backup_has_no_pseudonym_key_and_the_archive_keeps_its_own(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    plain = settings.model_copy(update={"backup_key_file": None})
    studies, secret = await filled(plain, 1), key_of(plain)
    back_up(plain, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert "rows/pseudonym_keys.jsonl" not in archive.namelist()
        assert MAC not in archive.namelist()
    restore(plain, tmp_path / "b.zip", replace=True)
    assert await content_of(plain) == studies
    assert key_of(plain) == secret


async def test_without_keys_nobody_is_let_in_by_a_backup(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(settings, 1)
    made = ("keys", "create", "--name", "a", "--role", "viewer")
    assert commanded(settings, *made) == 0
    target = str(tmp_path / "b.zip")
    assert commanded(settings, "backup", "--without-keys", "--to", target) == 0
    with zipfile.ZipFile(target) as archive:
        names = set(archive.namelist())
    assert not names & {"rows/api_keys.jsonl", "rows/pseudonym_keys.jsonl"}
    # The archive's own key stays valid.
    assert commanded(settings, "restore", "--replace", "--from", target) == 0
    capsys.readouterr()
    assert commanded(settings, "keys", "list") == 0
    assert "valid  viewer" in capsys.readouterr().out


def test_a_key_that_is_none_is_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, backup_key_file=tmp_path / "none")
    with pytest.raises(CommandError, match="cannot be read"):
        backup_key(settings)
    (tmp_path / "none").write_text("short")
    with pytest.raises(CommandError, match="too few for a key"):
        backup_key(settings)


async def test_an_entry_that_grows_beyond_its_manifest_is_not_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path / "archive")
    [study] = await filled(settings, 1)
    source = tmp_path / "b.zip"
    back_up(settings, source)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            grown = name == f"studies/{study}/original.png"
            new.writestr(name, bytes(300_000_000) if grown else old.read(name))
    read = 0
    pieces = form.chunks

    def counted(stream: IO[bytes]) -> Iterator[bytes]:
        nonlocal read
        for piece in pieces(stream):
            read += len(piece)
            yield piece

    monkeypatch.setattr(form, "chunks", counted)
    with pytest.raises(BackupError, match="was changed"):
        verify(bomb)
    assert read < 3 * 1024 * 1024


async def test_a_study_that_was_deleted_stays_so_even_when_the_log_was_pruned_since(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings, 2)
    back_up(settings, tmp_path / "first.zip")
    gone, kept = studies
    remove(settings, gone)
    back_up(settings, tmp_path / "second.zip")
    # Into an archive that knows of the deletion only by a later backup.
    fresh = settings_for(tmp_path / "fresh", backup_key_file=settings.backup_key_file)
    restore(fresh, tmp_path / "second.zip", replace=False)
    restore(fresh, tmp_path / "first.zip", replace=True)
    assert await content_of(fresh) == {kept: studies[kept]}
    assert open_files(fresh).names(gone) == []


async def test_an_archive_that_was_lost_learns_from_shipped_entries_what_was_deleted(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings, 2)
    back_up(settings, tmp_path / "b.zip")
    gone, kept = studies
    remove(settings, gone)
    shipped = tmp_path / "entries.jsonl"
    assert commanded(settings, "audit", "export", "--to", str(shipped)) == 0
    lost = settings_for(tmp_path / "lost", backup_key_file=settings.backup_key_file)
    options = ("--from", str(tmp_path / "b.zip"), "--deleted", str(shipped))
    assert commanded(lost, "restore", *options) == 0
    assert await content_of(lost) == {kept: studies[kept]}
    shipped.write_text("not one")
    assert commanded(lost, "restore", "--replace", *options) == 1
