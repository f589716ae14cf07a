"""`cxr detector VERB`; see docs/training-detector.md.

`evaluate`, `publish` and `train --resume` take the recipe from the run directory unless told
otherwise.
"""

import argparse
import os
from contextlib import suppress
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

    _add_training(verbs, data, run)
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
    for command in (publish, fuse):
        command.add_argument(
            "--replace", action="store_true", help="let a published model of that name give way"
        )
    fuse.set_defaults(run=_fuse)

    resize = verbs.add_parser(
        "resize", parents=[data], help="publish a detector anew for an input of another size"
    )
    resize.add_argument("--model", type=Path, required=True, help="the published folder")
    resize.add_argument("--input-px", type=int, required=True, help="side of the new input")
    resize.add_argument("--version", required=True, help="of the new model")
    resize.set_defaults(run=_resize)

    calibrate = verbs.add_parser(
        "calibrate",
        parents=[data],
        help="fit what a published detector's scores mean, and which boxes are shown",
    )
    calibrate.add_argument("--model", type=Path, required=True, help="the published folder")
    calibrate.set_defaults(run=_calibrate)

    label = verbs.add_parser(
        "pseudo-label",
        parents=[data],
        help="let a published detector label training radiographs without drawn boxes",
    )
    label.add_argument("--model", type=Path, required=True, help="the published folder")
    label.add_argument("--out", type=Path, required=True, help="the file (JSON lines), or its rest")
    label.add_argument("--limit", type=int, help="how many radiographs it shall hold at most")
    label.add_argument("--threads", type=int, default=1, help="of the detector; default: 1")
    label.set_defaults(run=_pseudo_label)


def _add_training(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    data: argparse.ArgumentParser,
    run: argparse.ArgumentParser,
) -> None:
    """What makes a run's weights."""
    train = verbs.add_parser("train", parents=[data, run], help="train into a run directory")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    train.add_argument("--resume", action="store_true", help="go on with the killed run in --out")
    start = train.add_mutually_exclusive_group()
    start.add_argument("--coco-start", type=Path, help="YOLOv5n on COCO (safetensors)")
    start.add_argument(
        "--start",
        type=Path,
        help="another state dict, or a published detector's folder; without, random weights",
    )
    train.add_argument(
        "--backbone-start",
        type=Path,
        help="beside one of these: a published classifier whose network fills the backbone",
    )
    train.add_argument(
        "--pseudo-labels", type=Path, help="what a teacher says (pseudo-label), for a student"
    )
    train.set_defaults(run=_train)

    average = verbs.add_parser(
        "average", help="the mean of a finished run's weights and its start's"
    )
    average.add_argument("--run", "--out", type=Path, dest="out", required=True)
    average.add_argument("--start", type=Path, required=True, help="its file (safetensors)")
    average.add_argument("--share", type=float, default=0.5, help="of the start; default: 0.5")
    average.set_defaults(run=_average)


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
        resume(config, options.data, options.out, pseudo_labels=options.pseudo_labels)
    else:
        train(
            config,
            options.data,
            _start(options),
            options.out,
            command=command_line(),
            commit=current_commit(),
            pseudo_labels=options.pseudo_labels,
        )
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
    from cxr_training.detector.published import (
        evaluate_published,
        read_benchmark,
        write_test_figures,
        write_validation_figures,
    )
    from cxr_training.detector.report import write_results
    from cxr_training.report.tables import format_interval

    split = Split(options.split)
    benchmark = read_benchmark(options.data, split)
    evaluations = [
        evaluate_published(model, options.data, benchmark, split=split) for model in options.model
    ]
    results = options.results / "test" if split is Split.TEST else options.results
    for model, one in zip(options.model, evaluations, strict=True):
        if split is Split.TEST:
            write_test_figures(model, one.manifest, one.rows)
        else:
            write_validation_figures(model, one)
    write_results(evaluations, results, split, default=_default_among(options.model))
    for one in evaluations:
        [mean] = [row for row in one.rows if (row.name, row.subset) == ("map50", "all")]
        print(f"{one.manifest.name}: mAP50 {format_interval(mean.result)}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_serving.model_folder import open_model_folder
    from cxr_training.detector.calibration import verify_calibration
    from cxr_training.detector.evaluation import is_calibrated
    from cxr_training.detector.published import verify_published

    differing = 0
    for model in options.model:
        sentences = verify_published(model, options.data)
        if is_calibrated(open_model_folder(model, "detector").manifest):
            sentences += verify_calibration(model, options.data)
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
    manifest = publish_run(
        config, options.out, options.models, options.results, replace=options.replace
    )
    print(f"{options.models / manifest.name} {manifest.version}")
    return 0


def _fuse(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.publish import fuse_published

    folder = options.models / options.name
    manifest = fuse_published(
        options.model, folder, options.data, version=options.version, replace=options.replace
    )
    print(f"{folder} {manifest.version}")
    return 0


def _average(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.averaging import average_with_start

    if not 0 < options.share < 1:
        raise ConfigError(f"--share {options.share:g}: it lies between 0 and 1")
    average_with_start(options.out, options.start, options.share)
    print(f"{options.out}: {options.share:g} of the start")
    return 0


def _resize(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.publish import resize_published

    manifest = resize_published(
        options.model, options.data, input_px=options.input_px, version=options.version
    )
    print(f"{options.model} {manifest.version}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.calibration import calibrate_published
    from cxr_training.detector.evaluation import is_of_calibration
    from cxr_training.report.tables import format_interval

    manifest = calibrate_published(options.model, options.data)
    for row in filter(is_of_calibration, manifest.metrics):
        print(f"{row.name}, {row.subset}: {format_interval(row.result)}")
    return 0


def _pseudo_label(options: argparse.Namespace) -> int:
    _one_thread()
    from cxr_training.detector.distillation import write_pseudo_labels

    held = write_pseudo_labels(
        options.model, options.data, options.out, limit=options.limit, threads=options.threads
    )
    print(f"{options.out}: {held} radiographs")
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
    from cxr_training.detector.start import COCO_SOURCE, Start, published_start

    start, backbone = options.start, options.backbone_start
    if options.coco_start is not None:
        return Start(options.coco_start, COCO_SOURCE, backbone)
    if start is None:
        return None
    return (
        published_start(start, backbone) if start.is_dir() else Start(start, start.name, backbone)
    )


def _default_among(models: list[Path]) -> str | None:
    """The name of the detector that is served, if it is among them."""
    from cxr_serving.model_folder import ModelFolderError, choose_model

    for folder in (model.resolve() for model in models):
        with suppress(ModelFolderError):
            if choose_model(folder.parent) == folder:
                return folder.name
    return None
