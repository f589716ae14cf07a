"""`cxr quantise`: a published model's file with 8-bit integers, where it passes its gate."""

import argparse
import os
from pathlib import Path

_IMAGES, _SEED = 200, 22


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `quantise`."""
    verb = commands.add_parser(
        "quantise", help="write a published model's 8-bit file, where it passes its gate"
    )
    verb.add_argument("--model", type=Path, required=True, help="the published folder")
    verb.add_argument("--data", type=Path, required=True, help="holds nih/ and chestx-det/")
    verb.add_argument(
        "--images", type=int, default=_IMAGES, help=f"for the ranges; default: {_IMAGES}"
    )
    verb.set_defaults(run=_quantise)


def _quantise(options: argparse.Namespace) -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from cxr_training.quantisation.quantise import quantise_published

    reason = quantise_published(options.model, options.data, n_images=options.images, seed=_SEED)
    if reason is None:
        print(f"{options.model}: an 8-bit file stands beside the other.")
        return 0
    print(f"{options.model}: no 8-bit file, for {reason}.")
    return 1
