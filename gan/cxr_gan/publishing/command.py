"""`cxr-gan publish`."""

import argparse
from pathlib import Path

from cxr_gan.publishing.publish import publish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `cxr-gan publish`."""
    parser.add_argument("--run", type=Path, required=True, help="a run that was judged", dest="of")
    parser.add_argument("--models", type=Path, default=Path("models/gan"))
    parser.add_argument("--name", help="default: the run directory's")
    parser.add_argument("--version", required=True)
    parser.add_argument("--results", type=Path, default=Path("docs/results/gan"))


def run(options: argparse.Namespace) -> int:
    """Write the folder; exit status 0."""
    folder = publish(
        options.of,
        options.models,
        options.results,
        name=options.name or options.of.resolve().name,
        version=options.version,
    )
    print(f"Wrote {folder}.")
    return 0
