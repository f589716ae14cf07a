"""`python -m cxr_training.detector train|evaluate|publish`; see `make train-detector`.

`evaluate`, `publish` and `train --resume` take the recipe from the run directory unless told
otherwise.
"""

import argparse
import os
import sys
from pathlib import Path

from cxr_training.data.errors import DataError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.start import COCO_SOURCE, Start
from cxr_training.detector.steps import run_evaluate, run_publish, run_train
from cxr_training.detector.training import CONFIG_FILE, Sources
from cxr_training.publishing import PublishError
from cxr_training.runs import RunError


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit status is 1, with a sentence on stderr, for what the user can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.config is None and options.step == "train" and not options.resume:
        parser.error("train needs --config")
    # Numerical libraries read it once; the recipe's `threads` are PyTorch's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        _run(options)
    except (DataError, RunError, PublishError) as error:
        sys.stderr.write(f"{options.step}: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    config = DetectorConfig.read(options.config or options.out / CONFIG_FILE, options.set)
    if options.smoke:
        config = config.smoke()
    sources = Sources(options.nih, options.chestx_det)
    if options.step == "train":
        run_train(config, sources, _start(options), options.out, go_on=options.resume)
    elif options.step == "evaluate":
        run_evaluate(config, sources, options.out)
    else:
        run_publish(config, options.out, options.models)


def _start(options: argparse.Namespace) -> Start | None:
    if options.coco_start is not None:
        return Start(options.coco_start, COCO_SOURCE)
    if options.start is not None:
        return Start(options.start, options.start.name)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cxr_training.detector",
        description="Train the detector, judge it on validation patients, publish it.",
    )
    parser.add_argument("step", choices=["train", "evaluate", "publish"])
    parser.add_argument("--config", type=Path, help="the recipe (YAML); default: the run's own")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe"
    )
    parser.add_argument("--nih", type=Path, required=True, help="folder of NIH ChestX-ray14")
    parser.add_argument("--chestx-det", type=Path, required=True, help="folder of ChestX-Det")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--coco-start", type=Path, help="YOLOv5n on COCO to start from (safetensors)"
    )
    start.add_argument(
        "--start", type=Path, help="another state dict to start from; without, random weights"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run directory")
    parser.add_argument("--resume", action="store_true", help="go on with the killed run in --out")
    parser.add_argument(
        "--models", type=Path, default=Path("models/detector"), help="where publish writes"
    )
    parser.add_argument("--smoke", action="store_true", help="one tiny epoch, to try the way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
