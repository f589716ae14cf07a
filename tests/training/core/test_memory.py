"""A training process keeps what it frees; in a process of its own, for there is no way back."""

import subprocess
import sys

PROGRAM = """
import ctypes

def resident_mib():
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * 4096 / 2**20

if {kept}:
    from cxr_training.core.cpu import keep_freed_memory
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 64 * 2**20
before = resident_mib()
block = libc.malloc(size)
ctypes.memset(block, 1, size)
libc.free(block)
print(resident_mib() - before)
"""


def still_resident(*, kept: bool) -> float:
    program = PROGRAM.format(kept=kept)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_what_is_freed_stays_with_the_process() -> None:
    assert still_resident(kept=False) < 8
    assert still_resident(kept=True) > 56
