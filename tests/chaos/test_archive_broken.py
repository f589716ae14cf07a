"""What the archive stands on breaks while clients upload: its database, its disk, the clock."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.chaos_scene import Scene, SceneMaker
from support.databases import own_postgresql
from support.live_gateway import FakeServices
from support.shifted_clock import ShiftedClock
from support.small_disk import LimitedProcess, SmallDisk, small_disk
from support.uploading import Uploaders, uploading
from support.waiting import eventually

DAY_S = 24 * 3600


def refused(uploaders: Uploaders) -> int:
    """How many uploads have been answered with a problem so far."""
    return uploaders.ledger.counts()["refused"]


def test_postgresql_that_crashes_under_load_loses_nothing_that_was_answered(
    services: FakeServices, scene_of: SceneMaker
) -> None:
    with own_postgresql() as database:
        scene = scene_of(services.ports, database.url)
        gateway = scene.gateway()
        with uploading(scene.url, clients=4) as uploaders:
            for _ in range(4):
                uploaders.wait_for(kept=5)
                database.crash_and_start()
            fault_ended = time.monotonic()
            uploaders.wait_for(kept=8)
        gateway.kill()
        second = scene.gateway()
        scene.end("PostgreSQL crashed four times", second, uploaders, fault_ended)
        second.kill()


def disk_filled(disk: SmallDisk, scene: Scene) -> None:
    gateway = scene.gateway()
    with uploading(scene.url) as uploaders:
        uploaders.wait_for(kept=4)
        disk.fill(gateway.process.pid)
        eventually(lambda: refused(uploaders) >= 6, "a full disk refuses nothing")
        statuses = {a.status for a in uploaders.ledger.attempts}
        assert 507 in statuses
        disk.free(gateway.process.pid)
        fault_ended = time.monotonic()
        uploaders.wait_for(kept=6)
    gateway.kill()
    second = scene.gateway()
    scene.end(disk.kind, second, uploaders, fault_ended)
    second.kill()


def test_a_full_disk_refuses_and_takes_again_once_there_is_room(
    services: FakeServices, database_url: str | None, scene_of: SceneMaker, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        archive = disk.folder / "archive"
        disk_filled(disk, scene_of(services.ports, database_url, CXR_GATEWAY_ARCHIVE_DIR=archive))


def test_files_that_may_not_grow_are_a_full_disk(
    services: FakeServices, scene_of: SceneMaker, tmp_path: Path
) -> None:
    disk = LimitedProcess(tmp_path)
    disk_filled(disk, scene_of(services.ports))


def latest_arrival(uploaders: Uploaders) -> datetime:
    """When the gateway says that the radiograph of its last new study came."""
    created = [a for a in uploaders.ledger.kept() if a.status == 201]
    return datetime.fromisoformat(json.loads(created[-1].body)["received_at"])


@pytest.mark.parametrize(
    ("name", "days"), [("three days ahead", 3), ("three days back", -3), ("ten years back", -3650)]
)
def test_a_clock_that_jumps_changes_what_is_written_and_nothing_else(
    name: str, days: int, services: FakeServices, scene_of: SceneMaker, tmp_path: Path
) -> None:
    clock = ShiftedClock(tmp_path)
    scene = scene_of(services.ports, **clock.environment)
    gateway = scene.gateway()
    with uploading(scene.url) as uploaders:
        uploaders.wait_for(kept=4)
        clock.jump(days * DAY_S)
        jumped = time.monotonic()
        uploaders.wait_for(kept=8)
        away = latest_arrival(uploaders) - datetime.now(UTC)
        assert abs(away.total_seconds() - days * DAY_S) < 3600
        clock.jump(0)
        uploaders.wait_for(kept=4)
    gateway.kill()
    second = scene.gateway()
    scene.end(f"clock jumps {name}, and back", second, uploaders, jumped)
    second.kill()
