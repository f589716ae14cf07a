"""`cxr-gan train`."""

import argparse
from pathlib import Path

from cxr_gan.errors import GanError

NIH = "nih"
_LAST = Path("last.pt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `train`."""
    parser.add_argument("--config", type=Path, required=True, help="the recipe, YAML")
    parser.add_argument("--data", type=Path, help="folder that holds nih/")
    parser.add_argument(
        "--manifest",
        type=Path,
        action="append",
        default=[],
        help="a CSV manifest beside NIH, or without --data alone; may be given again",
    )
    parser.add_argument("--out", type=Path, required=True, help="the run directory")
    parser.add_argument(
        "--resume",
        type=Path,
        nargs="?",
        const=_LAST,
        metavar="CHECKPOINT",
        help="go on from the run's last.pt where there is one, or from this checkpoint",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a key"
    )


def run(options: argparse.Namespace) -> int:
    """Train; 0."""
    from cxr_gan.training.config import load_config
    from cxr_gan.training.run import last_checkpoint, train

    if not (options.data or options.manifest):
        raise GanError("--data, --manifest, or both are needed")
    resume = options.resume
    if resume == _LAST:
        resume = last_checkpoint(options.out) or options.out / _LAST
    config = load_config(options.config, tuple(options.set))
    try:
        train(
            config,
            options.data / NIH if options.data else None,
            options.out,
            manifests=options.manifest,
            resume=resume,
        )
    except OSError as error:
        raise GanError(f"{error.filename or options.out}: {error.strerror}") from error
    return 0
