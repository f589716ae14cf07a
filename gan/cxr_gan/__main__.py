"""`cxr-gan`, or `python -m cxr_gan`: generative models of radiographs."""

import argparse
import sys
from importlib import import_module

from cxr_gan.errors import GanError
from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.errors import ConfigError, PublishError, RunError
from cxr_training.data.errors import DataError

# Of each command, the module that has `add_arguments(parser)` and `run(options)`, which gives the
# exit status. Only the module of the command that was asked for is imported.
COMMANDS = {
    "train": ("cxr_gan.training.command", "train a network into a run directory"),
    "sample": ("cxr_gan.sampling.command", "make images, with a manifest that training reads"),
    "interpolate": ("cxr_gan.interpolation.command", "a strip of images between two seeds"),
    "examples": ("cxr_gan.examples.command", "make the page's example films"),
    "judge": ("cxr_gan.judging.command", "measure how near to real a generator's images are"),
    "study": ("cxr_gan.study.command", "learn whether synthetic images help rare findings"),
    "publish": ("cxr_gan.publishing.command", "write the model folder of a run"),
}
# What the user can mend: one sentence, no traceback.
MENDABLE = (GanError, ConfigError, DataError, RunError, PublishError, ModelFolderError)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 2 with a sentence on stderr for what the user can mend."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="cxr-gan", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, says) in COMMANDS.items():
        command = commands.add_parser(name, help=says, description=says.capitalize() + ".")
        if arguments[:1] == [name]:
            room = import_module(module)
            room.add_arguments(command)
            command.set_defaults(run=room.run)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except MENDABLE as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 2
    return status


if __name__ == "__main__":
    raise SystemExit(main())
