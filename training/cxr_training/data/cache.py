"""Every radiograph at the canonical size, decoded once.

Decoding a 1024 px PNG costs more than a training step on a small network; at the canonical size
the whole of NIH's 112,120 images are 1.8 GB, read through the page cache. The files are decoded in
processes where there are cores, and a killed pass goes on where it was.
"""

import fcntl
import functools
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_training.core.cpu import in_processes
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey

# So many images are decoded between two lines of the journal: what a killed pass loses, at most,
# for each process.
CHUNK = 64


class CanonicalImages(Protocol):
    """Radiographs by index, each uint8 [canonical_px, canonical_px]; a memory map is one."""

    def __getitem__(self, row: int, /) -> GreyImage: ...

    def __len__(self) -> int: ...


def canonical_images(
    paths: tuple[Path, ...], canonical_px: int, folder: Path, *, processes: int | None = None
) -> npt.NDArray[np.uint8]:
    """The images as a read-only memory map, uint8 [N, canonical_px, canonical_px].

    Built at the first call and named by the files it holds, so that another data set, another
    size or a changed file never meets an old cache. A build that was killed goes on where it was;
    of two at once the second waits.

    Raises:
        DataError: a file that cannot be decoded, the message names the first of them; or a disk
            without room.
    """
    target = folder / f"canonical-{_key(paths, f'canonical-1:{canonical_px}')}.npy"
    if not target.exists():
        with _locked(target):
            if not target.exists():
                _build(paths, canonical_px, target, processes)
    cached: npt.NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return cached


def _build(paths: tuple[Path, ...], canonical_px: int, target: Path, processes: int | None) -> None:
    partial, journal = target.with_suffix(".partial"), target.with_suffix(".journal")
    if not (partial.exists() and journal.exists()):
        journal.unlink(missing_ok=True)
        _reserve(partial, (len(paths), canonical_px, canonical_px))
    done = _done(journal, len(paths))
    chunks = [
        (start, paths[start : start + CHUNK])
        for start in range(0, len(paths), CHUNK)
        if not done[start : start + CHUNK].all()
    ]
    broken: list[tuple[int, str]] = []
    with (
        journal.open("a") as stream,
        tqdm(total=len(paths), initial=int(done.sum()), desc="decoding", unit="image") as bar,
    ):
        for start, stop, failed in in_processes(
            functools.partial(_decode, partial), chunks, processes
        ):
            bar.update(stop - start)
            broken += failed
            if not failed:
                stream.write(f"{start} {stop}\n")
                stream.flush()
    journal.unlink()
    if broken:
        # The mended file will ask for a cache of another name.
        partial.unlink()
        index, reason = min(broken)
        more = f" (one of {len(broken)} such files; `cxr data check` lists them)"
        raise DataError(paths[index], reason + (more if len(broken) > 1 else ""))
    partial.rename(target)


def _reserve(partial: Path, shape: tuple[int, int, int]) -> None:
    """Create the array on disk, with its room taken: a full disk kills who writes to a map."""
    images = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
    size = partial.stat().st_size
    images.flush()
    try:
        with partial.open("r+b") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        partial.unlink()
        said = f"no room for {size / 1e6:.0f} MB of canonical images ({error.strerror})"
        raise DataError(partial.parent, said) from error


def _done(journal: Path, n: int) -> npt.NDArray[np.bool_]:
    done = np.zeros(n, dtype=bool)
    text = journal.read_text() if journal.exists() else ""
    # A line without its end was cut short with the process that wrote it.
    for start, stop in re.findall(r"^(\d+) (\d+)\n", text, re.MULTILINE):
        done[int(start) : int(stop)] = True
    return done


def _decode(
    target: Path, chunk: tuple[int, tuple[Path, ...]]
) -> tuple[int, int, list[tuple[int, str]]]:
    """Decode the files of a chunk and write them where they belong, down to the disk.

    Args:
        target: the array on disk.
        chunk: index of the first image, and the files.

    Returns:
        First index, the one after the last, and index and reason of each file that is broken.
    """
    start, paths = chunk
    images = open_memmap(target, mode="r+")
    broken = []
    for index, path in enumerate(paths, start=start):
        try:
            images[index] = to_canonical(decode_grey(path), images.shape[1])
        except DataError as error:
            broken.append((index, error.detail))
    images.flush()
    return start, start + len(paths), broken


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target`: several processes of one training ask for one cache at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _key(paths: tuple[Path, ...], purpose: str) -> str:
    digest = hashlib.sha256(purpose.encode())
    for path in paths:
        status = path.stat()
        digest.update(f"\n{path.name}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
