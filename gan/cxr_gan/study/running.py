"""The trainings that are left, some at once, each as soon as what it needs is there."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from cxr_gan.errors import GanError
from cxr_gan.study.training import Task, train_one
from cxr_training.core.parallel import end_with_parent


def run_all(tasks: Sequence[Task], jobs: int) -> Iterator[Task]:
    """Train, and give each task when it is over.

    Two networks on a core each train at nearly twice the pace of one on both.

    Args:
        tasks: in the order in which to begin them. A task whose teacher is not there waits for
            that of another task.
        jobs: how many at once; one is trained in this process.

    Raises:
        GanError: a training failed; others that had begun go on where they were, the next time.
    """
    if jobs == 1:
        for task in _in_turn(list(tasks)):
            yield train_one(task)
        return
    # Not forked: a copy of a process with threads, PyTorch's or tqdm's, may hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent)
    try:
        yield from _at_once(list(tasks), jobs, lambda task: pool.submit(train_one, task))
    except BrokenProcessPool as error:
        raise GanError(
            "a training's process was ended from outside, for want of memory perhaps: the same "
            "command goes on where it was"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _in_turn(left: list[Task]) -> Iterator[Task]:
    while left:
        yield left.pop(_next(left))


def _at_once(
    left: list[Task], jobs: int, submit: "Callable[[Task], Future[Task]]"
) -> Iterator[Task]:
    under_way: set[Future[Task]] = set()
    while left or under_way:
        if not under_way:
            under_way.add(submit(left.pop(_next(left))))
        while left and len(under_way) < jobs and (ready := _ready(left)) is not None:
            under_way.add(submit(left.pop(ready)))
        over, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in over:
            yield future.result()


def _ready(left: Sequence[Task]) -> int | None:
    """The first task that has what it needs; None where each waits for one under way."""
    return next((place for place, task in enumerate(left) if _has_teacher(task)), None)


def _next(left: Sequence[Task]) -> int:
    ready = _ready(left)
    if ready is None:
        raise GanError(f"{left[0].teacher} is missing: remove {left[0].folder.parent.parent}")
    return ready


def _has_teacher(task: Task) -> bool:
    return task.teacher is None or task.teacher.exists()
