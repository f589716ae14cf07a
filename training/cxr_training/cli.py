"""`cxr`: the one entry to data, trainings, evaluations and models."""

import argparse
import sys
from importlib import import_module

from cxr_launcher import serve
from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.errors import UserError

# Each has `add_to(commands)`, which adds commands and sets their `run` default: a
# function from the parsed options to the exit status. What is slow to import, they import there.
PARTS = (
    "data.cli",
    "kit.cli",
    "classifier.cli",
    "detector.cli",
    "ood.cli",
    "quantisation.cli",
    "monitoring.cli",
    "importing.cli",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0; 1 where what was checked or verified is not as it should be; 2, with a
        sentence on stderr, for what the user can mend.
    """
    parser = argparse.ArgumentParser(
        prog="cxr",
        description="Check data; train, evaluate, verify, publish, import and serve models.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for part in PARTS:
        import_module(f"cxr_training.{part}").add_to(commands)
    serve.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except (UserError, ModelFolderError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 2
    return status
