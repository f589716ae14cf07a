"""Every file decoded to its last byte, in processes, with only facts kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from cxr_training.core.parallel import in_processes
from cxr_training.data.errors import DataError
from cxr_training.data.pixels import decode_grey

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file that decodes: its pixels across and down, and a digest of them (16 bytes)."""

    width_px: int
    height_px: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Examined:
    facts: list[tuple[Path, FileFacts]]
    broken: list[tuple[Path, str]]


def examine(
    paths: Sequence[Path], processes: int | None = None
) -> tuple[dict[Path, FileFacts], list[DataError]]:
    """The facts of each file that decodes, and an error for each that does not, by path.

    Memory: one picture a process at a time, and some hundred bytes for each file.
    """
    facts: dict[Path, FileFacts] = {}
    broken: list[DataError] = []
    chunks = [tuple(paths[start : start + _CHUNK]) for start in range(0, len(paths), _CHUNK)]
    with tqdm(total=len(paths), desc="decoding", unit="image") as bar:
        for examined in in_processes(_examine, chunks, processes):
            facts.update(examined.facts)
            broken += [DataError(path, detail) for path, detail in examined.broken]
            bar.update(len(examined.facts) + len(examined.broken))
    return facts, sorted(broken, key=lambda error: error.path)


def _examine(paths: tuple[Path, ...]) -> _Examined:
    examined = _Examined([], [])
    for path in paths:
        try:
            grey = decode_grey(path)
        except DataError as error:
            examined.broken.append((path, error.detail))
            continue
        height, width = grey.shape
        digest = hashlib.blake2b(f"{width}x{height}:".encode(), digest_size=16)
        digest.update(grey.tobytes())
        examined.facts.append((path, FileFacts(width, height, digest.digest())))
    return examined
