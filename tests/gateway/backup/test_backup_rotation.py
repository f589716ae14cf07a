"""Backups of one folder: what they cost, what they keep, and a restore that is tried."""

import fcntl
import re
import time
from pathlib import Path

import pytest

from cxr_gateway.archive import open_files
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import EXPIRY_ACTION, Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup.drill import drill
from cxr_gateway.backup.form import BackupError, backups_in, verify
from cxr_gateway.backup.restore import restore
from cxr_gateway.backup.rotation import back_up_into
from cxr_gateway.backup.sealing import backup_key
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, content_of, filled
from support.fake_gateway import settings_for


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    return settings_for(tmp_path / "archive", database_url, backup_key_file=key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def another(tmp_path: Path, settings: GatewaySettings) -> GatewaySettings:
    return settings_for(tmp_path / "another", None, backup_key_file=settings.backup_key_file)


def remove(settings: GatewaySettings, study: str) -> None:
    engine = open_engine(settings.resolved_database_url, 5)
    event = by_the_machine(EXPIRY_ACTION, study_id=study)
    assert Removals(engine, open_files(settings)).study(study, event)
    engine.dispose()


def next_second() -> None:
    """A backup is named by its second."""
    time.sleep(1.05 - time.time() % 1)


def beside(folder: Path) -> set[Path]:
    return {path for path in (folder / "files").rglob("*") if path.is_file()}


async def test_a_second_backup_copies_what_is_new_and_each_restores_its_own(
    settings: GatewaySettings, folder: Path, tmp_path: Path
) -> None:
    first_studies = await filled(settings, 3)
    first, manifest, copied = back_up_into(settings, folder, keep=5)
    assert copied == sum(map(len, first_studies.values())) + 3 * len(b"drawn")
    assert manifest.studies == 3
    next_second()
    _, _, again = back_up_into(settings, folder, keep=5)
    assert again == 0
    more = await filled(settings, 1)
    next_second()
    last, manifest, copied = back_up_into(settings, folder, keep=5)
    assert copied == len(next(iter(more.values()))) + len(b"drawn")
    assert manifest.studies == 4
    for path in (first, last, folder):
        verify(path, backup_key(settings))
    target = another(tmp_path, settings)
    restore(target, first, replace=False)
    assert await content_of(target) == first_studies
    restore(target, folder, replace=True)
    assert await content_of(target) == first_studies | more


async def test_the_oldest_make_room_with_what_only_they_named(
    settings: GatewaySettings, folder: Path
) -> None:
    gone = next(iter(await filled(settings, 1)))
    back_up_into(settings, folder, keep=2)
    assert commanded(settings, "verify", "--from", str(folder)) == 0
    remove(settings, gone)
    await filled(settings, 1)
    for _ in range(2):
        next_second()
        back_up_into(settings, folder, keep=2)
    assert len(backups_in(folder)) == 2
    assert {path.name.split(".")[0] for path in beside(folder)} & {gone} == set()
    assert len(beside(folder)) == 2
    verify(folder, backup_key(settings))


async def test_what_the_archive_has_lost_stays_in_its_backups(
    settings: GatewaySettings, folder: Path, tmp_path: Path
) -> None:
    studies = await filled(settings, 1)
    back_up_into(settings, folder, keep=2)
    open_files(settings).remove_study(next(iter(studies)))
    next_second()
    _, manifest, _ = back_up_into(settings, folder, keep=1)
    assert manifest.missing == []
    target = another(tmp_path, settings)
    restore(target, folder, replace=False)
    assert await content_of(target) == studies


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
async def test_what_a_disk_has_lost_since_is_found_and_a_cut_file_is_copied_anew(
    settings: GatewaySettings, folder: Path, harm: str
) -> None:
    await filled(settings, 2)
    back_up_into(settings, folder, keep=5)
    victim = sorted(beside(folder))[0]
    content = victim.read_bytes()
    if harm == "gone":
        victim.unlink()
    else:
        victim.write_bytes(b"x" + content[1:] if harm == "changed" else content[:-1])
    with pytest.raises(BackupError, match=r"was changed|does not name the entries"):
        verify(folder, backup_key(settings))
    with pytest.raises(BackupError):
        drill(settings, folder)
    if harm != "changed":
        next_second()
        back_up_into(settings, folder, keep=5)
        verify(folder, backup_key(settings))


async def test_a_backup_with_another_key_is_no_ground_to_build_on(
    settings: GatewaySettings, folder: Path, tmp_path: Path
) -> None:
    studies = await filled(settings, 1)
    back_up_into(settings, folder, keep=5)
    key = tmp_path / "new key"
    key.write_text("key " * 16)
    changed = settings.model_copy(update={"backup_key_file": key})
    next_second()
    _, _, copied = back_up_into(changed, folder, keep=5)
    assert copied >= len(next(iter(studies.values())))
    verify(folder, backup_key(changed))
    # What only the older one could say is named may not be removed.
    assert len(beside(folder)) == 2


async def test_two_backups_at_once_do_not_meet(settings: GatewaySettings, folder: Path) -> None:
    await filled(settings, 1)
    back_up_into(settings, folder, keep=5)
    with (folder / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BackupError, match="another backup is being made"):
            back_up_into(settings, folder, keep=5)


async def test_a_drill_says_what_would_be_lost_and_how_long_it_takes(
    settings: GatewaySettings, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = await filled(settings, 3)
    assert commanded(settings, "backup", "--into", str(folder), "--keep", "7") == 0
    assert re.search(r"3 studies, .* of which 0\.0 MB of files were new", capsys.readouterr().out)
    assert commanded(settings, "drill", "--from", str(folder)) == 0
    said = capsys.readouterr().out
    assert "restored and read: 3 studies, 3 originals held to their sums" in said
    assert re.search(r"Recovery point: 0\.\d h old\. Recovery time: \d+\.\d s\.", said)
    assert commanded(settings, "audit", "show", "--action", "restore drill") == 0
    assert "restore drill" in capsys.readouterr().out
    # The archive itself is as it was.
    assert await content_of(settings) == studies
