"""Work on very many files: in chunks, in processes where there are cores, with bounded memory."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
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
