"""Every radiograph at the canonical size: decoded once, or as it is needed.

Decoding a 1024 px PNG costs more than a training step on a small network; at the canonical size
the whole of NIH's 112,120 images are 1.8 GB, read through the page cache. Both ways decode every
file once before the first epoch, in processes where there are cores, so that a broken one is
found then; both go on where a killed first pass was.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_training.core.parallel import in_processes
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey

# So many images are decoded between two lines of the journal: what a killed pass loses, at most,
# for each process.
CHUNK = 64


class CanonicalImages(Protocol):
    """Radiographs by row, each uint8 [canonical_px, canonical_px]; a memory map is one."""

    def __getitem__(self, row: int, /) -> GreyImage: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StreamedImages:
    """Decodes an image whenever it is asked for: for a disk without room for a cache."""

    paths: tuple[Path, ...]
    canonical_px: int

    def __getitem__(self, row: int, /) -> GreyImage:
        return to_canonical(decode_grey(self.paths[row]), self.canonical_px)

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows `start` up to `start + len(paths)`, for one process; `target` None only decodes."""

    start: int
    paths: tuple[Path, ...]
    canonical_px: int
    target: Path | None
    header_bytes: int


@dataclass(frozen=True, slots=True)
class _Decoded:
    start: int
    stop: int
    broken: list[tuple[int, str]]
    """Row and reason of each file that cannot be decoded."""


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
        with _alone(target):
            if not target.exists():
                _build(paths, canonical_px, target, processes)
    cached: npt.NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return cached


def streamed_images(
    paths: tuple[Path, ...], canonical_px: int, folder: Path, *, processes: int | None = None
) -> StreamedImages:
    """The images, decoded as they are asked for, after every file was decoded once.

    That they were is remembered in `folder`, so that only the first start takes the time.

    Raises:
        DataError: a file that cannot be decoded; the message names the first of them.
    """
    remembered = folder / f"decoded-{_key(paths, 'decoded-1')}.txt"
    if not remembered.exists():
        with _alone(remembered):
            journal = remembered.with_suffix(".journal")
            if not remembered.exists():
                chunks = _chunks(paths, 1, journal)
                _decode_all(paths, chunks, journal, "checking", processes)
                journal.rename(remembered)
    return StreamedImages(paths, canonical_px)


def _build(paths: tuple[Path, ...], canonical_px: int, target: Path, processes: int | None) -> None:
    partial, journal = target.with_suffix(".partial"), target.with_suffix(".journal")
    if not (partial.exists() and journal.exists()):
        journal.unlink(missing_ok=True)
        _reserve(partial, (len(paths), canonical_px, canonical_px))
    header_bytes = int(open_memmap(partial, mode="r").offset)
    chunks = _chunks(paths, canonical_px, journal, partial, header_bytes)
    try:
        _decode_all(paths, chunks, journal, "decoding", processes)
    except DataError:
        # The mended file will ask for a cache of another name.
        partial.unlink()
        raise
    partial.rename(target)
    journal.unlink(missing_ok=True)


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
        said = f"no room for {size / 1e6:.0f} MB of canonical images ({error.strerror}): --stream"
        raise DataError(partial.parent, said) from error


def _chunks(
    paths: tuple[Path, ...],
    canonical_px: int,
    journal: Path,
    target: Path | None = None,
    header_bytes: int = 0,
) -> list[_Chunk]:
    """What the journal does not name as done."""
    done = np.zeros(len(paths), bool)
    text = journal.read_text() if journal.exists() else ""
    # A line without its end was cut short with the process that wrote it.
    for start, stop in re.findall(r"^(\d+) (\d+)\n", text, re.MULTILINE):
        done[int(start) : int(stop)] = True
    return [
        _Chunk(start, paths[start : start + CHUNK], canonical_px, target, header_bytes)
        for start in range(0, len(paths), CHUNK)
        if not done[start : start + CHUNK].all()
    ]


def _decode_all(
    paths: tuple[Path, ...],
    chunks: Sequence[_Chunk],
    journal: Path,
    says: str,
    processes: int | None,
) -> None:
    """Decode `chunks`, writing each into the journal; DataError names what is broken."""
    broken: list[tuple[int, str]] = []
    left = sum(len(chunk.paths) for chunk in chunks)
    with (
        journal.open("a") as stream,
        tqdm(total=len(paths), initial=len(paths) - left, desc=says, unit="image") as bar,
    ):
        for decoded in in_processes(_decode, chunks, processes):
            bar.update(decoded.stop - decoded.start)
            if decoded.broken:
                broken += decoded.broken
            else:
                stream.write(f"{decoded.start} {decoded.stop}\n")
                stream.flush()
    if broken:
        journal.unlink()
        row, reason = min(broken)
        more = f" (one of {len(broken)} such files; `cxr data check` lists them)"
        raise DataError(paths[row], reason + (more if len(broken) > 1 else ""))


def _decode(chunk: _Chunk) -> _Decoded:
    """Decode the files of `chunk` and write them where they belong, down to the disk."""
    n, side = len(chunk.paths), chunk.canonical_px
    broken = []
    images = None
    if chunk.target is not None:
        offset = chunk.header_bytes + chunk.start * side * side
        images = np.memmap(chunk.target, np.uint8, "r+", offset, (n, side, side))
    for row, path in enumerate(chunk.paths):
        try:
            grey = decode_grey(path)
        except DataError as error:
            broken.append((chunk.start + row, error.detail))
            continue
        if images is not None:
            images[row] = to_canonical(grey, side)
    if images is not None:
        images.flush()
    return _Decoded(chunk.start, chunk.start + n, broken)


@contextmanager
def _alone(target: Path) -> Iterator[None]:
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
