"""`python -m cxr_training.detector STEP`; see docs/training-detector.md.

`evaluate`, `publish` and `train --resume` take the recipe from the run directory unless told
otherwise.
"""

import argparse
import os
import sys
from pathlib import Path

from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.cpu import keep_freed_memory
from cxr_training.core.errors import PublishError, RunError
from cxr_training.data.errors import DataError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.start import COCO_SOURCE, Start
from cxr_training.detector.steps import (
    run_evaluate,
    run_fuse,
    run_judge,
    run_publish,
    run_silence,
    run_train,
)
from cxr_training.detector.training import CONFIG_FILE, Sources

RESULTS, JOINING = Path("docs/results/detector"), Path("docs/results/joining")


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit status is 1, with a sentence on stderr, for what the user can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.config is None and options.step == "train" and not options.resume:
        parser.error("train needs --config")
    needed = {"judge": "model", "fuse": "model", "silence": None}.get(options.step, "out")
    if needed is not None and not getattr(options, needed):
        parser.error(f"{options.step} needs --{needed}")
    # Numerical libraries read it once; the recipe's `threads` are PyTorch's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        _run(options)
    except (DataError, RunError, PublishError, ModelFolderError) as error:
        sys.stderr.write(f"{options.step}: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    sources = Sources(options.nih, options.chestx_det)
    if options.step == "judge":
        run_judge(
            options.model, sources, options.results, joining=options.joining, check=options.check
        )
        return
    if options.step == "silence":
        run_silence(sources)
        return
    if options.step == "fuse":
        run_fuse(options.model, sources, options.models / options.name, options.version or "1.0.0")
        return
    config = DetectorConfig.read(options.config or options.out / CONFIG_FILE, options.set)
    if options.smoke:
        config = config.smoke()
    if options.step == "train":
        keep_freed_memory()
        run_train(config, sources, _start(options), options.out, go_on=options.resume)
    elif options.step == "evaluate":
        run_evaluate(config, sources, options.out)
    else:
        run_publish(config, options.out, options.models, options.results, version=options.version)


def _start(options: argparse.Namespace) -> Start | None:
    if options.coco_start is not None:
        return Start(options.coco_start, COCO_SOURCE, options.trunk_start)
    if options.start is not None:
        return Start(options.start, options.start.name, options.trunk_start)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cxr_training.detector",
        description="Train a detector, judge it on validation patients, publish it.",
    )
    parser.add_argument(
        "step", choices=["train", "evaluate", "publish", "fuse", "judge", "silence"]
    )
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
    parser.add_argument(
        "--trunk-start",
        type=Path,
        help="a published classifier whose network fills the recipe's trunk, beside one of these",
    )
    parser.add_argument("--out", type=Path, help="the run directory; for train, evaluate, publish")
    parser.add_argument("--resume", action="store_true", help="go on with the killed run in --out")
    parser.add_argument(
        "--models", type=Path, default=Path("models/detector"), help="where publish writes"
    )
    parser.add_argument("--version", help="publish: in place of the recipe's; fuse: 1.0.0")
    parser.add_argument("--name", default="fused-both", help="fuse: of the model (fused-both)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help=f"for tables and pictures ({RESULTS})"
    )
    parser.add_argument(
        "--model",
        type=Path,
        action="append",
        help="judge, fuse: a published folder; may be given again",
    )
    parser.add_argument(
        "--joining", type=Path, default=JOINING, help=f"judge: results of joinings ({JOINING})"
    )
    parser.add_argument(
        "--check", action="store_true", help="judge: fail where a manifest's figures are others"
    )
    parser.add_argument("--smoke", action="store_true", help="one tiny epoch, to try the way")
    return parser


if __name__ == "__main__":
    sys.exit(main())
