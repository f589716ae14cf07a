"""Members of a run side by side, each in a process of its own, on the cores of one machine.

A small network gains little from a second thread; two networks on a core each train at nearly
twice the pace of one on both.
"""

import signal
from collections.abc import Callable, Sequence
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeAlias, cast

import torch

from cxr_training.classifier.views import EpochNews, MemberBars, Sent, View
from cxr_training.core.errors import RunError
from cxr_training.core.parallel import end_with_parent
from cxr_training.data.errors import DataError

Work = Callable[[View], None]
Pipe: TypeAlias = "Connection[object, object]"


class _Refused(str):
    """The sentence by which a member ended."""

    __slots__ = ()


def side_by_side(names: Sequence[str], works: Sequence[Work], threads: int) -> None:
    """Do all of `works` at once; the first that fails stops the others.

    Args:
        names: of the members, for a person.
        works: functions of a module's top level, or partials of them.
        threads: of PyTorch, for each.

    Raises:
        RunError: a member failed or was killed; the message names it.
    """
    # Not forked: a copy of a process with threads, PyTorch's or tqdm's, may hang.
    context = get_context("spawn")
    processes: list[BaseProcess] = []
    pipes: list[Pipe] = []
    bars = MemberBars(list(names))
    try:
        for name, work in zip(names, works, strict=True):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_member, name=name, args=(work, theirs, threads))
            process.start()
            # Its end is then the only one, so that the pipe ends with the process.
            theirs.close()
            processes.append(process)
            pipes.append(ours)
        _watch(names, processes, pipes, bars)
    finally:
        for started in processes:
            started.terminate()
        for started in processes:
            started.join()
        bars.close()


def _watch(
    names: Sequence[str], processes: Sequence[BaseProcess], pipes: list[Pipe], bars: MemberBars
) -> None:
    """Show what the members send until all have ended."""
    left = list(pipes)
    while left:
        for ready in connection.wait(left):
            index = next(i for i, pipe in enumerate(pipes) if pipe is ready)
            try:
                message = pipes[index].recv()
            except EOFError:
                left.remove(pipes[index])
                processes[index].join()
                _require_success(names[index], processes[index].exitcode)
                continue
            if isinstance(message, _Refused):
                raise RunError(f"{names[index]}: {message}")
            bars.show(index, cast(EpochNews | str, message))


def _require_success(name: str, code: int | None) -> None:
    if code == 0:
        return
    how = (
        f"signal {-code} ended it"
        if code is not None and code < 0
        else f"it ended with status {code}"
    )
    raise RunError(f"{name}: {how}; --resume goes on from its last checkpoint")


def _member(work: Work, pipe: Pipe, threads: int) -> None:
    """In the process of its own."""
    end_with_parent()
    # Ctrl-C reaches every process of the terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    try:
        work(Sent(pipe))
    except (RunError, DataError) as error:
        pipe.send(_Refused(error))
    finally:
        pipe.close()
