"""Every radiograph at the canonical size: decoded once, or as it is needed.

Decoding a 1024 px PNG costs more than a training step on a small network; at the canonical size
the whole of NIH's 112,120 images are 1.8 GB, read through the page cache.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from tqdm import tqdm

from cxr_classifier.preprocessing import GreyImage, to_canonical
from cxr_training.classifier.samples import decode_grey


class CanonicalImages(Protocol):
    """Radiographs by row, each uint8 [canonical_px, canonical_px]; a memory map is one."""

    def __getitem__(self, row: int, /) -> GreyImage: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StreamedImages:
    """Decodes an image whenever it is asked for: for a disk without room for a cache.

    A broken file is then found where it is met, not before the first epoch.
    """

    paths: tuple[Path, ...]
    canonical_px: int

    def __getitem__(self, row: int, /) -> GreyImage:
        return to_canonical(decode_grey(self.paths[row]), self.canonical_px)

    def __len__(self) -> int:
        return len(self.paths)


def canonical_images(
    paths: tuple[Path, ...], canonical_px: int, folder: Path
) -> npt.NDArray[np.uint8]:
    """The images as a read-only memory map, uint8 [N, canonical_px, canonical_px].

    Built at the first call and named by the files it holds, so that another data set, another
    size or a changed file never meets an old cache. A build that was cut short leaves none.

    Raises:
        DataError: a file that cannot be decoded; the message names it.
    """
    target = folder / f"canonical-{_key(paths, canonical_px)}.npy"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        shape = (len(paths), canonical_px, canonical_px)
        images = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for row, path in enumerate(tqdm(paths, desc="decoding", unit="image")):
            images[row] = to_canonical(decode_grey(path), canonical_px)
        images.flush()
        partial.rename(target)
    cached: npt.NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return cached


def _key(paths: tuple[Path, ...], canonical_px: int) -> str:
    digest = hashlib.sha256(f"canonical-1:{canonical_px}".encode())
    for path in paths:
        status = path.stat()
        digest.update(f"\n{path.name}:{status.st_size}:{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
