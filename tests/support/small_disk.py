"""A disk that can be filled and freed while a gateway uses it.

As root where mounting is allowed it is a real file system of a few megabytes with ballast on it;
elsewhere the kernel refuses the gateway every file beyond a few bytes, which ends a write in the
same way, with another number.
"""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_SIZE_MB = 24
_LEFT_BYTES = 64 * 1024
_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class SmallDisk(Protocol):
    """A folder for the archive, and what can be done to the disk under it."""

    kind: str
    folder: Path

    def fill(self, pid: int, /) -> None:
        """From now on process `pid` finds no room."""
        ...

    def free(self, pid: int, /) -> None:
        """From now on it does again."""
        ...


class MountedDisk:
    """A file system in memory."""

    kind = "disk full (a file system of its own)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, _pid: int) -> None:
        """Put ballast on it, whoever uses it."""
        free = shutil.disk_usage(self.folder).free
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - _LEFT_BYTES)

    def free(self, _pid: int) -> None:
        """Throw the ballast away."""
        self._ballast.unlink()


class LimitedProcess:
    """A limit on the size of every file that the gateway writes, set from outside while it runs."""

    kind = "disk full (no file may grow)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, pid: int) -> None:
        """Allow it files of one byte."""
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        """Allow it any."""
        resource.prlimit(pid, resource.RLIMIT_FSIZE, _NO_LIMIT)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """The best that this machine allows, at `folder`, until the block ends."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield LimitedProcess(folder)
        return
    try:
        yield MountedDisk(folder)
    finally:
        # Lazily: a process that was killed a moment ago may still have a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
