"""`cxr train classifier|detector`."""

import argparse
from pathlib import Path

from cxr_training.data.cli import add_layout, layout_of

CLASSIFIER, DETECTOR = Path("models/classifier/lite0-cxr"), Path("models/detector/yolov5n-both")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `train` and its commands."""
    train = commands.add_parser("train", help="train a model on a table of your own images")
    kinds = train.add_subparsers(dest="kind", required=True)
    for kind, start in (("classifier", CLASSIFIER), ("detector", DETECTOR)):
        command = kinds.add_parser(
            kind,
            help=f"a {kind} of your own labels, calibrated, with figures and a draft of its card",
            description="Everything that is wrong with the table is said before anything trains "
            "(exit status 2). The run lies in OUT/NAME, the model in MODELS.",
        )
        command.add_argument("--data", type=Path, required=True, help="the table, a CSV")
        command.add_argument("--name", required=True, help="of the new model; also its folder")
        command.add_argument("--epochs", type=int, help="default: by the number of images")
        command.add_argument(
            "--start",
            default=str(start),
            help=f"the published {kind} to begin with, or `none`; default: {start}",
        )
        command.add_argument("--out", type=Path, default=Path("runs"), help="default: runs")
        command.add_argument("--models", type=Path, default=Path("models"), help="default: models")
        command.add_argument("--version", default="1", help="of the model; default: 1")
        command.add_argument("--resume", action="store_true", help="go on with a killed run")
        command.add_argument(
            "--replace", action="store_true", help="let a published model of that name give way"
        )
        command.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe"
        )
        add_layout(command)
        command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from cxr_training.kit.request import Request

    request = Request(
        data=options.data,
        layout=layout_of(options),
        name=options.name,
        version=options.version,
        start=None if options.start == "none" else Path(options.start),
        epochs=options.epochs,
        overrides=tuple(options.set),
        out=options.out,
        models=options.models,
        resume=options.resume,
        replace=options.replace,
    )
    # Before PyTorch is imported.
    request.refuse_taken_name(options.kind)
    if options.kind == "classifier":
        from cxr_training.kit.train_classifier import train_classifier as train
    else:
        from cxr_training.kit.train_detector import train_detector as train
    folder = train(request)
    print(f"\n{folder}\nServe it: cxr serve --model {options.name}")
    return 0
