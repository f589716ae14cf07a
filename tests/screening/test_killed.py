"""Killed at any moment and run again: no image without a row, none with two."""

import contextlib
import os
import random
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from support.images import encoded
from support.screenings import Screener, kill_tree, rows_of
from support.waiting import eventually

pytestmark = pytest.mark.slow
N_KILLS = int(os.environ.get("CXR_SCREENING_KILLS", "3"))
N_IMAGES = 30 * N_KILLS
ARGUMENTS = ("--workers", 2, "--flush-s", 0.2, "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images that are read in no time, some of them broken."""
    made = tmp_path / "in"
    made.mkdir()
    for number in range(N_IMAGES):
        values = np.random.default_rng(number).integers(0, 255, (64, 64), dtype=np.uint8)
        content = encoded(values)
        (made / f"{number:05}.png").write_bytes(content[:200] if number % 10 == 3 else content)
    return made


def committed(out: Path) -> set[str]:
    """Names of the files with rows."""
    return {path.name for path in out.glob("images/**/*.parquet")}


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def kill_somehow(process: "subprocess.Popen[str]", how: str) -> None:
    """A worker, the driver alone, or everything at once as a machine would."""
    children = descendants(process)
    if how == "worker":
        workers = [one for one in children if "Reader" in " ".join(_command(one))]
        for one in workers[:1]:
            kill_tree(process, only=[one.pid])
        if workers:
            return
    if how == "machine":
        kill_tree(process)
    else:
        process.kill()
        process.wait()
    gone = [one.pid for one in children]
    eventually(lambda: not any(map(_lives, gone)), "Ray's processes outlived the run", 120)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _has_begun(process: "subprocess.Popen[str]", out: Path, before: set[str]) -> bool:
    status = process.poll()
    if status:
        raise AssertionError(f"It ended by itself with {status}: {process.communicate()}")
    return status == 0 or bool(committed(out) - before)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_image_gets_one_row_however_often_it_is_killed(
    screener: Screener, folder: Path, tmp_path: Path
) -> None:
    out, chance = tmp_path / "out", random.Random(7)
    for number in range(N_KILLS):
        before = committed(out)
        with screener.start("run", folder, "--out", out, *ARGUMENTS) as process:
            # Something is written by then, in a run that has anything left; then any moment.
            eventually(
                partial(_has_begun, process, out, before),
                "nothing was written",
                300,
            )
            time.sleep(chance.uniform(0, 0.5))
            kill_somehow(process, ("driver", "worker", "machine")[number % 3])
            if process.poll() is None:  # a worker was replaced, and the run goes on to its end
                out_text, error = process.communicate(timeout=600)
                assert process.returncode == 0, out_text + error
        ids = [row["id"] for row in rows_of(out)]
        assert len(ids) == len(set(ids))
    screener("run", folder, "--out", out, *ARGUMENTS)
    rows = rows_of(out)
    assert len(rows) == len({row["id"] for row in rows}) == N_IMAGES
    assert sum(row["status"] == "failed" for row in rows) == N_IMAGES // 10
    assert not any((out / "_staging").iterdir())

    # Those with an error are read again; mended, they have a row like any other, and one only.
    (folder / "00003.png").write_bytes((folder / "00004.png").read_bytes())
    said = screener("run", folder, "--out", out, "--retry-failed", *ARGUMENTS)
    assert f"{N_IMAGES // 10} images with an error are read again" in said
    rows = rows_of(out)
    assert len(rows) == len({row["id"] for row in rows}) == N_IMAGES
    assert sum(row["status"] == "failed" for row in rows) == N_IMAGES // 10 - 1
