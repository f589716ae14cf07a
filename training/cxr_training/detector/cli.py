"""`cxr detector train|evaluate|verify|publish|fuse`; see docs/training-detector.md.

`evaluate`, `publish` and `train --resume` take the recipe from the run directory unless told
otherwise.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_training.core.errors import ConfigError

if TYPE_CHECKING:
    from cxr_training.detector.config import DetectorConfig
    from cxr_training.detector.start import Start

MODELS, RESULTS = Path("models/detector"), Path("docs/results/detector")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `detector` and its commands."""
    detector = commands.add_parser("detector", help="detectors of suspicious regions")
    verbs = detector.add_subparsers(dest="verb", required=True)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, required=True, help="holds nih/ and chestx-det/")
    run = argparse.ArgumentParser(add_help=False)
    run.add_argument("--config", type=Path, help="the recipe (YAML); default: the run's own")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    run.add_argument("--smoke", action="store_true", help="one tiny epoch, to try the way")

    train = verbs.add_parser("train", parents=[data, run], help="train into a run directory")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    train.add_argument("--resume", action="store_true", help="go on with the killed run in --out")
    start = train.add_mutually_exclusive_group()
    start.add_argument("--coco-start", type=Path, help="YOLOv5n on COCO (safetensors)")
    start.add_argument("--start", type=Path, help="another state dict; without, random weights")
    train.add_argument(
        "--backbone-start",
        type=Path,
        help="beside one of these: a published classifier whose network fills the backbone",
    )
    train.set_defaults(run=_train)

    evaluate = verbs.add_parser(
        "evaluate",
        parents=[data, run],
        help="measure a run or published models, and write the figures",
    )
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", "--out", type=Path, dest="out", help="a run directory")
    what.add_argument("--model", type=Path, action="append", help="a published folder; repeatable")
    evaluate.add_argument(
        "--split",
        choices=["validation", "test"],
        default="validation",
        help="of published models; test patients are reported on, and nothing is chosen on them",
    )
    evaluate.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    evaluate.set_defaults(run=_evaluate)

    verify = verbs.add_parser(
        "verify", parents=[data], help="measure published figures again; changes nothing"
    )
    verify.add_argument("--model", type=Path, action="append", required=True)
    verify.set_defaults(run=_verify)

    publish = verbs.add_parser("publish", parents=[run], help="write an evaluated run to models/")
    publish.add_argument("--run", "--out", type=Path, dest="out", required=True)
    publish.add_argument("--version", help="in place of the recipe's")
    publish.add_argument("--models", type=Path, default=MODELS, help=f"default: {MODELS}")
    publish.add_argument("--results", type=Path, default=RESULTS, help="for the training curves")
    publish.set_defaults(run=_publish)

    fuse = verbs.add_parser("fuse", parents=[data], help="one model of several published ones")
    fuse.add_argument("--model", type=Path, action="append", required=True)
    fuse.add_argument("--name", default="fused-both", help="of the new model")
    fuse.add_argument("--version", default="1.0.0")
    fuse.add_argument("--models", type=Path, default=MODELS, help=f"default: {MODELS}")
    fuse.set_defaults(run=_fuse)


def _train(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.core.cpu import keep_freed_memory
    from cxr_training.core.runs import command_line, current_commit
    from cxr_training.detector.run import resume, train

    if options.config is None and not options.resume:
        raise ConfigError("train needs --config")
    config = _config(options)
    keep_freed_memory()
    if options.resume:
        resume(config, options.data, options.out)
    else:
        command, commit = command_line(), current_commit()
        train(config, options.data, _start(options), options.out, command=command, commit=commit)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    _one_thread()
    if options.out is not None:
        from cxr_training.detector.publish import evaluate_run

        if options.split == "test":
            raise ConfigError("a run is evaluated on validation patients: publish it first")
        for row in evaluate_run(_config(options), options.data, options.out).metrics:
            print(row.name, row.subset, row.result.value, row.result.low, row.result.high)
        return 0
    from cxr_training.data.splits import Split
    from cxr_training.detector.benchmark import read_benchmark
    from cxr_training.detector.published import evaluate_published
    from cxr_training.detector.report import write_results
    from cxr_training.report.tables import format_interval

    split = Split(options.split)
    benchmark = read_benchmark(options.data, split)
    evaluations = [
        evaluate_published(model, options.data, benchmark, split=split) for model in options.model
    ]
    results = options.results / "test" if split is Split.TEST else options.results
    write_results(evaluations, results, split, default=_default_among(options.model))
    for one in evaluations:
        [mean] = [row for row in one.rows if (row.name, row.subset) == ("map50", "all")]
        print(f"{one.manifest.name}: mAP50 {format_interval(mean.result)}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.published import verify_published

    differing = 0
    for model in options.model:
        sentences = verify_published(model, options.data)
        differing += len(sentences)
        print(f"{model}: {len(sentences) or 'no'} figures differ from the manifest")
        for sentence in sentences:
            print(f"  {sentence}")
    return 1 if differing else 0


def _publish(options: argparse.Namespace) -> int:
    from cxr_training.detector.publish import publish_run

    config = _config(options)
    if options.version is not None:
        config = config.model_copy(update={"version": options.version})
    manifest = publish_run(config, options.out, options.models, options.results)
    print(f"{options.models / manifest.name} {manifest.version}")
    return 0


def _fuse(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.fuse import fuse_published

    folder = options.models / options.name
    manifest = fuse_published(options.model, folder, options.data, version=options.version)
    print(f"{folder} {manifest.version}")
    return 0


def _one_thread() -> None:
    # Numerical libraries read it once; the recipe's `threads` are PyTorch's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def _config(options: argparse.Namespace) -> "DetectorConfig":
    from cxr_training.detector.config import DetectorConfig
    from cxr_training.detector.run import CONFIG_FILE

    config = DetectorConfig.read(options.config or options.out / CONFIG_FILE, options.set)
    return config.smoke() if options.smoke else config


def _start(options: argparse.Namespace) -> "Start | None":
    from cxr_training.detector.start import COCO_SOURCE, Start

    if options.coco_start is not None:
        return Start(options.coco_start, COCO_SOURCE, options.backbone_start)
    if options.start is not None:
        return Start(options.start, options.start.name, options.backbone_start)
    return None


def _default_among(models: list[Path]) -> str | None:
    """The name of the detector that is served, if it is among them."""
    from cxr_serving.model_folder import ModelFolderError, choose_model

    for model in models:
        folder = model.resolve()
        try:
            if choose_model(folder.parent) == folder:
                return folder.name
        except ModelFolderError:
            continue
    return None
