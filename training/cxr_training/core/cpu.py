"""How a CPU computes, and keeps its memory, while a network trains."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER = 2**31 - 1
_PAD_BYTES = 256 * 2**20


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Meanwhile, in this thread and those it starts, numbers too near zero for a CPU are zero.

    Weights and averages on their way to zero pass through such numbers, which cost a tenth of a
    step's time. Afterwards all is as it was: other code may count on them.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees; False where the library is not glibc.

    A step frees and takes tensors of tens of megabytes, which glibc gives back to the system and
    asks for again, page by page: about a sixth of a step's time on two cores. For a process that
    does nothing but train: there is no way back.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _PAD_BYTES))
    return all(mallopt(name, value) == 1 for name, value in settings)
