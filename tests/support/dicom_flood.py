"""Many radiographs by many associations, with DCMTK's storescu as each of the senders."""

import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from support.dicom_images import dicom
from support.dicom_node import program
from support.images import radiograph_like

# 160 x 160 pixels of two bytes: 51 KB, about what a small portable detector's preview has.
_SIDE_PX = 160
_ROOT = "1.2.826.0.1.3680043.8.498.9."
_NUMBER_CHARS = 8
_LARGEST_BATCH = 25
_SENT = re.compile(r"^I: Sending file: (.+)$")
_TAKEN = re.compile(r"^I: Received Store Response \(Success\)$")


def uid_of(number: int) -> str:
    """The SOP Instance UID of a radiograph; its study's and series' follow from it."""
    # The first digit keeps the others from being leading zeros.
    return f"{_ROOT}1{number:0{_NUMBER_CHARS}d}.1"


def write_radiographs(folder: Path, count: int) -> list[Path]:
    """`count` files, each of a study and a patient of its own, with pixels of its own.

    One file is made, and written again with other numbers of the same length: a second for 10,000.
    """
    folder.mkdir(parents=True)
    mark = "9" * _NUMBER_CHARS
    values = radiograph_like(_SIDE_PX, _SIDE_PX).astype(np.uint16) * 16
    values[0, :4] = 0x1234
    template = dicom(
        values,
        bits=12,
        SOPInstanceUID=f"{_ROOT}1{mark}.1",
        SeriesInstanceUID=f"{_ROOT}1{mark}.2",
        StudyInstanceUID=f"{_ROOT}1{mark}.3",
        PatientID=f"P1{mark}",
        PatientName="Test^Case",
        StudyDate="20260102",
    )
    # 12 bits are valid in each of four pixels.
    pixels = (0x1234).to_bytes(2, "little") * 4
    assert template.count(pixels) == 1
    paths = []
    for number in range(count):
        own = np.array([number >> shift & 0xFFF for shift in (0, 8, 12, 20)], "<u2").tobytes()
        content = template.replace(mark.encode(), f"{number:0{_NUMBER_CHARS}d}".encode())
        path = folder / f"{number:0{_NUMBER_CHARS}d}.dcm"
        path.write_bytes(content.replace(pixels, own))
        paths.append(path)
    return paths


@dataclass
class Flood:
    """Senders that send until every file has been acknowledged."""

    port: int
    called: str
    paths: list[Path]
    associations: int = 8
    acknowledged: set[str] = field(default_factory=set)
    again: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # Here: a sender's thread that ended for want of it would be waited for without end.
        self._storescu = program("storescu")
        self._left = deque(self.paths)
        # Few in an association where there are few at all, or one would send everything.
        self._batch = min(_LARGEST_BATCH, max(1, len(self.paths) // (8 * self.associations)))
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._started = 0.0

    def start(self) -> None:
        """Begin."""
        self._started = time.monotonic()
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(self.associations)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return when every file has been acknowledged."""
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._started

    @property
    def is_done(self) -> bool:
        """Whether every file has been acknowledged."""
        return len(self.acknowledged) == len(self.paths)

    def _work(self) -> None:
        while not self.is_done:
            with self._lock:
                batch = [self._left.popleft() for _ in range(min(self._batch, len(self._left)))]
            if not batch:
                # What another association holds may come back.
                time.sleep(0.2)
                continue
            taken = self._send(batch)
            with self._lock:
                self.acknowledged |= {path.name for path in batch if path.name in taken}
                rest = [path for path in batch if path.name not in taken]
                self.again += len(rest)
                self._left.extend(rest)
            if not taken:
                # Nobody is there; asking more often would take the time that its start needs.
                time.sleep(2.0)

    def _send(self, batch: list[Path]) -> set[str]:
        """The names of the files that were acknowledged, in one association."""
        done = subprocess.run(
            [
                *(self._storescu, "-v", "-aet", "MODALITY", "-aec", self.called),
                *("-ta", "30", "-td", "60", "127.0.0.1", str(self.port), *map(str, batch)),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        taken: set[str] = set()
        name = ""
        for line in (done.stdout + done.stderr).splitlines():
            if sent := _SENT.match(line):
                name = Path(sent[1]).name
            elif _TAKEN.match(line):
                taken.add(name)
        return taken


@contextmanager
def peak_memory(process: Callable[[], psutil.Process]) -> Iterator[Callable[[], float]]:
    """The largest resident memory, in MB, of whatever process that is at each moment."""
    peak, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.5):
            try:
                peak = max(peak, process().memory_info().rss)
            except psutil.NoSuchProcess:
                continue

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield lambda: peak / 2**20
    finally:
        ended.set()
        watching.join()
