"""How a CPU computes and keeps its memory in a training; work on many files in processes."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

Task = TypeVar("Task")
Done = TypeVar("Done")
# A process takes half a second to start; a task, some dozens of images, takes about as long.
_WORTH_A_PROCESS = 8


def usable_cores() -> int:
    """The cores that this process may use, which a container or `taskset` may have made fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[Task], Done], tasks: Sequence[Task], processes: int | None = None
) -> Iterator[Done]:
    """What `work` gives for each task, as it becomes ready, in no order.

    Tasks and results cross a pipe: they should be small. With one process the work is done here.
    A caller that stops early stops the processes after the tasks that they are at.

    Args:
        work: a function of a module's top level.
        tasks: its arguments.
        processes: how many at once; None for one a core, fewer for few tasks.

    Raises:
        BrokenProcessPool: a process died, of memory for instance.
    """
    processes = processes or min(usable_cores(), len(tasks) // _WORTH_A_PROCESS)
    if processes <= 1:
        yield from map(work, tasks)
        return
    # Not forked: a copy of a process with threads, PyTorch's or tqdm's, may hang.
    pool = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=end_with_parent
    )
    try:
        for future in as_completed([pool.submit(work, task) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Let this process end when the one that started it is killed: nobody else would end it."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


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
    # Here, for the processes below import this module, too, and most need no PyTorch.
    import torch

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
