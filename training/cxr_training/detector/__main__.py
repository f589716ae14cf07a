"""`python -m cxr_training.detector train|evaluate|publish`; see `make train-detector`."""

import argparse
import os
import sys
from pathlib import Path

from cxr_training.data.errors import DataError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.steps import run_evaluate, run_publish, run_train
from cxr_training.detector.training import Sources
from cxr_training.publishing import PublishError


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit status is 2, with a sentence on stderr, for what the user can mend."""
    options = _parser().parse_args(arguments)
    # One thread: with two, small convolutions wait for each other more than they gain.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        config = DetectorConfig.read(options.config)
        if options.smoke:
            config = config.smoke()
        sources = Sources(options.nih, options.chestx_det)
        if options.step == "train":
            run_train(config, sources, options.coco_start, options.out)
        elif options.step == "evaluate":
            run_evaluate(config, sources, options.out)
        else:
            run_publish(config, options.out, options.models)
    except (DataError, PublishError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cxr_training.detector",
        description="Train the detector, judge it on validation patients, publish it.",
    )
    parser.add_argument("step", choices=["train", "evaluate", "publish"])
    parser.add_argument("--config", type=Path, required=True, help="the recipe (YAML)")
    parser.add_argument("--nih", type=Path, required=True, help="folder of NIH ChestX-ray14")
    parser.add_argument("--chestx-det", type=Path, required=True, help="folder of ChestX-Det")
    parser.add_argument(
        "--coco-start", type=Path, required=True, help="state dict to start from (safetensors)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run directory")
    parser.add_argument(
        "--models", type=Path, default=Path("models/detector"), help="where publish writes"
    )
    parser.add_argument("--smoke", action="store_true", help="one tiny epoch, to try the way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
