"""`cxr`, or `python -m cxr_training`: the commands that every room offers."""

import argparse
import sys
from importlib import import_module

from cxr_training.core.errors import ConfigError, PublishError, RunError
from cxr_training.data.errors import DataError

# Each has `add_to(commands)`, which adds a command and sets its `run` default: a function from
# the parsed options to the exit status.
ROOMS = ("cxr_training.data.command", "cxr_training.importing.command")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 1 with a sentence on stderr for what the user can mend."""
    parser = argparse.ArgumentParser(prog="cxr", description="Data and models of the reader.")
    commands = parser.add_subparsers(dest="command", required=True)
    for room in ROOMS:
        import_module(room).add_to(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except (ConfigError, DataError, RunError, PublishError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
