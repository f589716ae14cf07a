"""`cxr classifier train|evaluate|verify|publish`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_training.core.errors import UserError
from cxr_training.core.runs import refuse_several_processes
from cxr_training.data.layout import NIH_FOLDER

if TYPE_CHECKING:
    from cxr_training.classifier.config import ClassifierConfig

RESULTS = Path("docs/results/classifier")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `classifier` and its verbs."""
    classifier = commands.add_parser("classifier", help="the classifier of fourteen findings")
    verbs = classifier.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train into a run directory")
    train.add_argument("--config", type=Path, required=True, help="the recipe, YAML")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    train.add_argument("--smoke", action="store_true", help="one short epoch, to try it")
    train.add_argument("--start", type=Path, help="last.pt of a run whose weights to begin with")
    train.add_argument("--resume", action="store_true", help="go on from last.pt")
    train.set_defaults(run=_train)
    evaluate = verbs.add_parser(
        "evaluate",
        help="measure a run or a published model, and write the figures",
        description="A run is calibrated and evaluated on validation patients. A published model "
        "is evaluated on either split; figures of test patients go into its manifest and card.",
    )
    what = evaluate.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", "--out", type=Path, dest="run_folder", help="a run directory")
    what.add_argument("--model", type=Path, help="a published model's folder")
    evaluate.add_argument("--split", choices=("validation", "test"), default="validation")
    evaluate.set_defaults(run=_evaluate)
    for command in (train, evaluate):
        command.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a key"
        )
    verify = verbs.add_parser(
        "verify",
        help="measure a published model's figures again; exit status 1 where they differ",
    )
    verify.add_argument("--model", type=Path, required=True, help="a published model's folder")
    verify.set_defaults(run=_verify)
    publish = verbs.add_parser("publish", help="write the model folder of an evaluated run")
    publish.add_argument(
        "--run", "--out", type=Path, dest="run_folder", required=True, help="a run, evaluated"
    )
    publish.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    publish.add_argument("--version", help="default: the recipe's")
    publish.set_defaults(run=_publish)
    for command in (evaluate, publish):
        command.add_argument(
            "--results", type=Path, default=RESULTS, help=f"for tables and plots ({RESULTS})"
        )
    for command in (train, evaluate, verify, publish):
        command.add_argument("--data", type=Path, help="folder that holds nih/, chestx-det/, test/")
    for command in (train, evaluate, verify):
        command.add_argument(
            "--manifest",
            type=Path,
            action="append",
            default=[],
            help="a CSV manifest beside NIH, or without --data alone; may be given again",
        )


def _train(options: argparse.Namespace) -> int:
    from cxr_training.classifier.train import train

    train(
        _config(options),
        _nih(options),
        options.out,
        manifests=options.manifest,
        resume=options.resume,
        start=options.start,
    )
    return 0


def _config(options: argparse.Namespace) -> "ClassifierConfig":
    from cxr_training.classifier.config import SMOKE_OVERRIDES, load_config

    return load_config(options.config, (*(SMOKE_OVERRIDES if options.smoke else ()), *options.set))


def _evaluate(options: argparse.Namespace) -> int:
    refuse_several_processes("evaluate")
    if options.run_folder is not None:
        from cxr_training.classifier.run_evaluation import evaluate_run

        if options.split == "test":
            raise UserError("test patients see published models alone: publish the run first")
        metrics = evaluate_run(
            options.run_folder,
            _nih(options),
            manifests=options.manifest,
            overrides=tuple(options.set),
        ).metrics
    else:
        from cxr_training.classifier.card import classifier_card
        from cxr_training.classifier.evaluation import evaluate_model, with_test_figures
        from cxr_training.classifier.results import write_results
        from cxr_training.data.splits import Split
        from cxr_training.export.publishing import CARD_NAME, write_manifest

        _require_data(options)
        split, results = Split(options.split), options.results
        evaluated = evaluate_model(options.model, options.data, split, options.manifest)
        write_results(evaluated, results / "test" if split is Split.TEST else results)
        if split is Split.TEST:
            manifest = with_test_figures(evaluated)
            write_manifest(manifest, options.model)
            (options.model / CARD_NAME).write_text(classifier_card(manifest))
        metrics = evaluated.rows
    from cxr_training.report.tables import format_interval

    for row in metrics:
        if (row.name, row.subset) in {("auroc_mean", "all"), ("ece_mean", "all")}:
            print(f"{row.name} {format_interval(row.result)} on {row.n} {row.split} images")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from cxr_training.classifier.evaluation import verify

    refuse_several_processes("verify")
    _require_data(options)
    found = verify(options.model, options.data, options.manifest)
    print("\n".join(found) or f"{options.model}: every figure is as published")
    return 1 if found else 0


def _publish(options: argparse.Namespace) -> int:
    from cxr_training.classifier.publish import publish

    refuse_several_processes("publish")
    run, version = options.run_folder, options.version
    print(publish(run, options.models, options.results, options.data, version=version))
    return 0


def _nih(options: argparse.Namespace) -> Path | None:
    _require_data(options)
    return options.data / NIH_FOLDER if options.data else None


def _require_data(options: argparse.Namespace) -> None:
    if not (options.data or options.manifest):
        raise UserError("--data, --manifest, or both are needed")
