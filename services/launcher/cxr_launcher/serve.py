"""`cxr serve`: the whole system on this machine with models that are named."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Where a service looks for its model, by the kind of model.
VARIABLES = {
    "classifier": "CXR_CLASSIFIER_MODEL_DIR",
    "detector": "CXR_DETECTOR_MODEL_DIR",
    "ood": "CXR_GATEWAY_OOD_MODEL_DIR",
}


class NoSuchModel(ValueError):
    """A model that cannot be served; the message says which can."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`."""
    serve = commands.add_parser(
        "serve", help="start everything on this machine, with models of your own"
    )
    add_options(serve)
    serve.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name models."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a classifier, a detector or both of that name; may be given again. Of a kind that "
        "none is named of, the published default is served",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; the exit status."""
    from cxr_launcher.__main__ import start

    try:
        chosen = environment_of(options.model, options.models)
    except NoSuchModel as error:
        sys.stderr.write(f"serve: {error}\n")
        return 2
    os.environ.update(chosen)
    return start()


def environment_of(names: Sequence[str], models: Path) -> dict[str, str]:
    """The variables by which the services find the models of these names.

    Args:
        names: each of a folder of at least one kind.
        models: holds a folder for each kind.

    Raises:
        NoSuchModel: a name that is none, or two of one kind.
    """
    found: dict[str, str] = {}
    for name in names:
        folders = {kind: models / kind / name for kind in VARIABLES}
        here = {kind: x for kind, x in folders.items() if (x / "manifest.json").is_file()}
        if not here:
            known = [
                f"{kind} {', '.join(sorted(path.parent.name for path in paths))}"
                for kind in VARIABLES
                if (paths := list(models.glob(f"{kind}/*/manifest.json")))
            ]
            said = "; ".join(known) or "none"
            raise NoSuchModel(f"no model {name!r} in {models} can be served; there are: {said}")
        for kind, folder in here.items():
            if VARIABLES[kind] in found:
                raise NoSuchModel(f"{name!r} is the second {kind}: one of each kind is served")
            found[VARIABLES[kind]] = str(folder.resolve())
    return found
