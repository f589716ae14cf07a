"""Decoding every image once before the first epoch: resumed, bounded in memory."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_classifier.preprocessing import to_canonical
from cxr_training.data import cache
from cxr_training.data.cache import canonical_images
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey

SIDE_PX = 40


def first_pass(paths: tuple[Path, ...], folder: Path) -> np.ndarray:
    return canonical_images(paths, 24, folder)


def write_images(folder: Path, n: int, side_px: int = SIDE_PX) -> tuple[Path, ...]:
    rng = np.random.default_rng(n)
    folder.mkdir()
    paths = tuple(folder / f"{number:05d}.png" for number in range(n))
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (side_px, side_px), dtype=np.uint8)).save(path)
    return paths


def write_alike(folder: Path, n: int, side_px: int) -> tuple[Path, ...]:
    """One file under many names: quick to write, slow to decode."""
    folder.mkdir()
    paths = tuple(folder / f"{number:05d}.png" for number in range(n))
    grey = np.add.outer(np.arange(side_px), np.arange(side_px)).astype(np.uint8)
    Image.fromarray(grey).save(paths[0])
    for path in paths[1:]:
        path.hardlink_to(paths[0])
    return paths


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, ...]:
    return write_images(tmp_path / "images", 3 * cache.CHUNK + 5)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_image_is_found_in_the_first_pass_and_leaves_nothing(
    paths: tuple[Path, ...], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(paths[70])
    with pytest.raises(DataError, match=r"00070\.png: is not a readable image: [^(]*$"):
        first_pass(paths, tmp_path / "cache")
    damage(paths[7])
    with pytest.raises(DataError, match=r"00007\.png: .* \(one of 2 such files"):
        first_pass(paths, tmp_path / "cache")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}


def test_what_was_decoded_once_is_not_decoded_at_the_second_start(
    paths: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first_pass(paths, tmp_path / "cache")
    decoded: list[Path] = []
    monkeypatch.setattr(cache, "decode_grey", decoded.append)
    first_pass(paths, tmp_path / "cache")
    assert decoded == []
    monkeypatch.undo()
    # Another time of change makes another set of images, which has to be looked at anew.
    cut(paths[3])
    with pytest.raises(DataError, match=r"00003\.png"):
        first_pass(paths, tmp_path / "cache")


def test_a_pass_that_was_interrupted_goes_on_where_it_was(
    paths: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def until_interrupted(path: Path) -> np.ndarray:
        if path == paths[2 * cache.CHUNK + 3]:
            raise KeyboardInterrupt
        return decode_grey(path)

    monkeypatch.setattr(cache, "decode_grey", until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        first_pass(paths, tmp_path / "cache")
    decoded: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return decode_grey(path)

    monkeypatch.setattr(cache, "decode_grey", counted)
    images = first_pass(paths, tmp_path / "cache")
    assert decoded == list(paths[2 * cache.CHUNK :])
    monkeypatch.undo()
    assert_canonical(images, paths)


def assert_canonical(images: np.ndarray, paths: tuple[Path, ...]) -> None:
    assert len(images) == len(paths)
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(images[row], to_canonical(decode_grey(path), 24))


BUILD = """
import sys
from pathlib import Path
from cxr_training.data.cache import canonical_images
if __name__ == "__main__":
    canonical_images(tuple(sorted(Path(sys.argv[1]).iterdir())), 24, Path(sys.argv[2]), processes=2)
"""


def test_a_killed_build_of_several_processes_goes_on_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_alike(tmp_path / "images", 12 * cache.CHUNK, side_px=512)
    (tmp_path / "build.py").write_text(BUILD)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "build.py"), str(tmp_path / "images"), str(tmp_path / "c")],
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as build:
        wait_until(lambda: any(lines(path) for path in tmp_path.glob("c/*.journal")))
        build.send_signal(signal.SIGKILL)
    wait_until(lambda: not session_members(build.pid))
    (journal,) = tmp_path.glob("c/*.journal")
    n_done = lines(journal)
    assert 1 <= n_done < 12
    decoded: list[Path] = []

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return decode_grey(path)

    monkeypatch.setattr(cache, "decode_grey", counted)
    images = canonical_images(paths, 24, tmp_path / "c", processes=1)
    assert len(decoded) == (12 - n_done) * cache.CHUNK
    assert (images == to_canonical(decode_grey(paths[0]), 24)).all()


def lines(path: Path) -> int:
    return path.read_text().count("\n")


def session_members(session: int) -> list[int]:
    """The processes that are left of a session, by what the kernel says of each."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[3]) == session:
            members.append(int(stat.parent.name))
    return members


def wait_until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_disk_without_room_is_a_sentence_not_a_crash(
    paths: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"no room for 0 MB .*No space left on device\)"):
        canonical_images(paths, 24, tmp_path / "cache")


MEASURE = """
import sys
from pathlib import Path
from cxr_training.data.cache import canonical_images
from cxr_training.data.check import examine

def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

paths = tuple(sorted(Path(sys.argv[1]).iterdir()))
ways = {
    "cached": lambda some, name: canonical_images(some, 64, Path(sys.argv[2], name), processes=1),
    "checked": lambda some, name: examine(some, processes=1),
}
way = ways[sys.argv[3]]
way(paths[:1], "one")
one = peak_mb()
way(paths, "all")
print(peak_mb() - one)
"""


@pytest.mark.parametrize("way", ["cached", "checked"])
def test_reading_hundreds_of_images_takes_the_memory_of_one(tmp_path: Path, way: str) -> None:
    write_alike(tmp_path / "images", 150, side_px=1024)
    (tmp_path / "measure.py").write_text(MEASURE)
    grown_mb = float(
        subprocess.run(
            [sys.executable, "measure.py", "images", "cache", way],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    # Decoded, they are 150 MB.
    assert grown_mb < 20
