"""The gateway killed at every step of an upload, of a second analysis and of rendering."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, Response

from support.chaos_scene import Scene, SceneMaker
from support.databases import postgresql_database
from support.fault_points import RENDERING_STEPS, RERUN_STEPS, UPLOAD_STEPS
from support.live_gateway import STUDIES, FakeServices
from support.uploading import uploading
from support.waiting import eventually

# What the other database has no part in is tried with one of them.
ONLY_SQLITE = {
    *("incoming-made", "piece-written", "decoded", "encoded", "keeping-begun", "original-synced"),
    *("folder-made", "folder-synced", "classifier-answered", "detector-answered", "answering"),
}
UPLOAD_CASES = [
    (step, database)
    for step in UPLOAD_STEPS
    for database in ("sqlite", "postgresql")
    if database == "sqlite" or step not in ONLY_SQLITE
]


def died(scene: Scene, step: str, armed: Path, hits: int = 3, **more: object) -> Callable[[], None]:
    """Start a gateway that dies at `step`, once the returned function arms it and waits."""
    gateway = scene.gateway(CXR_TEST_DIE_AT=f"{step}:{armed}:{hits}", **more)

    def now() -> None:
        armed.touch()
        eventually(lambda: gateway.process.poll() is not None, f"it never came to {step}", 180)
        assert gateway.process.returncode == -9
        armed.unlink()

    return now


@pytest.mark.parametrize(("step", "kind"), UPLOAD_CASES)
def test_killed_at_any_step_of_an_upload_it_keeps_what_it_answered(
    step: str, kind: str, services: FakeServices, scene_of: SceneMaker, tmp_path: Path
) -> None:
    if kind == "postgresql":
        with postgresql_database() as url:
            killed_while_uploading(step, scene_of(services.ports, url), tmp_path)
    else:
        killed_while_uploading(step, scene_of(services.ports), tmp_path)


def killed_while_uploading(step: str, scene: Scene, tmp_path: Path) -> None:
    die = died(scene, step, tmp_path / "armed")
    with uploading(scene.url) as uploaders:
        uploaders.wait_for(kept=3)
        die()
        fault_ended = time.monotonic()
        second = scene.gateway()
        uploaders.wait_for(kept=6)
    scene.end(f"gateway killed at: {step}", second, uploaders, fault_ended)
    second.kill()


@pytest.mark.parametrize("step", RERUN_STEPS)
def test_killed_at_any_step_of_a_second_analysis_it_keeps_the_first_or_the_second(
    step: str, scene: Scene, services: FakeServices, tmp_path: Path
) -> None:
    async def broken(_request: object) -> Response:
        return JSONResponse({"type": "about:blank", "title": "broken", "status": 500}, 500)

    die = died(scene, step, tmp_path / "armed", hits=1)
    services.detector.answer = broken
    with uploading(scene.url) as uploaders:
        uploaders.wait_for(kept=6)
    # The same radiographs again: every one of them is partial, so every one is read again.
    services.detector.answer = None
    with uploading(scene.url, ledger=uploaders.ledger) as uploaders:
        die()
        fault_ended = time.monotonic()
        second = scene.gateway()
        uploaders.wait_for(kept=6)
    scene.end(f"gateway killed at: {step}", second, uploaders, fault_ended)
    second.kill()


@pytest.mark.parametrize("step", RENDERING_STEPS)
def test_killed_while_it_makes_images_it_makes_them_again(
    step: str, services: FakeServices, scene_of: SceneMaker, tmp_path: Path
) -> None:
    scene = scene_of(services.ports, CXR_GATEWAY_RENDERING_IDLE_S=0)
    die = died(scene, step, tmp_path / "armed")
    with uploading(scene.url, clients=1) as uploaders:
        uploaders.wait_for(kept=3)
        die()
        fault_ended = time.monotonic()
        second = scene.gateway()
        uploaders.wait_for(kept=3)
    assert second.client.get(STUDIES).status_code == 200
    scene.end(f"gateway killed at: {step}", second, uploaders, fault_ended)
