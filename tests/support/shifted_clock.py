"""The wall clock of a process, set from outside while it runs: `shifted_clock.c`, preloaded."""

import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


class ShiftedClock:
    """One clock; needs a C compiler called `cc`."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock"
        self._library = folder / "shifted_clock.so"
        self._offset.write_bytes(struct.pack("=q", 0))
        build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE), "-ldl"]
        subprocess.run(build, check=True)

    @property
    def environment(self) -> dict[str, object]:
        """What a process needs to live by this clock."""
        return {"LD_PRELOAD": self._library, "CXR_TEST_CLOCK": self._offset}

    def jump(self, offset_s: int) -> None:
        """Be so far from the true time from now on."""
        # In place: the process has this very file mapped.
        with self._offset.open("r+b") as file:
            file.write(struct.pack("=q", offset_s))
