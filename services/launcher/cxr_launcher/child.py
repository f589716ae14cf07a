"""Runs one service so that it cannot outlive its supervisor.

`python -m cxr_launcher.child cxr_gateway` becomes `python -m cxr_gateway`, after asking the
kernel (Linux) to terminate it when the process that started it dies, however that died.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send `signal_number` to this process when its parent dies; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


if __name__ == "__main__":
    die_with_parent(signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", sys.argv[1]])  # noqa: S606
