"""Commands whose module is imported when they run."""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from importlib import import_module

Command = Callable[[Namespace], int]


def later(name: str) -> Command:
    """`module:function` of this package, from the parsed options to the exit status.

    PyTorch takes seconds to import, and `--help` should not wait for it.
    """
    return partial(_run, name)


def _run(name: str, options: Namespace) -> int:
    module, _, function = name.partition(":")
    command: Command = getattr(import_module(f"cxr_training.{module}"), function)
    return command(options)
