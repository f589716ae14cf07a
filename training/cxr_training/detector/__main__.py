"""`python -m cxr_training.detector train|evaluate|publish`; see `make train-detector`."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from cxr_training.data.errors import DataError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.training import Sources, train


def main(arguments: list[str] | None = None) -> int:
    """Run one step; returns the exit status, 2 for bad data with its sentence on stderr."""
    options = _parser().parse_args(arguments)
    # One thread: with two, small convolutions wait for each other more than they gain.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        config = DetectorConfig.read(options.config)
        sources = Sources(options.nih, options.chestx_det)
        command = shlex.join(["python", "-m", "cxr_training.detector", *sys.argv[1:]])
        train(config, sources, options.coco_start, options.out, command=command, commit="")
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cxr_training.detector", description=__doc__)
    parser.add_argument("step", choices=["train", "evaluate", "publish"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--nih", type=Path, required=True)
    parser.add_argument("--chestx-det", type=Path, required=True)
    parser.add_argument("--coco-start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
