"""`cxr classifier train|evaluate|levels|verify|publish`."""

import argparse
from pathlib import Path

from cxr_training.core.errors import UserError
from cxr_training.data.splits import NIH_FOLDER, TEST_FOLDER

RESULTS = Path("docs/results/classifier")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `classifier` and its verbs."""
    classifier = commands.add_parser("classifier", help="the classifier of fourteen findings")
    verbs = classifier.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("train", help="train into a run directory")
    train.add_argument("--config", type=Path, required=True, help="the recipe, YAML")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    train.add_argument("--smoke", action="store_true", help="one short epoch, to try it")
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
    levels = verbs.add_parser(
        "levels",
        help="fit a published model's evidence levels to validation patients",
        description="From where on a finding is possible and likely. Network and calibration stay "
        "as they are. Where --data has a test set, what the levels mean is measured there.",
    )
    levels.add_argument("--model", type=Path, required=True, help="a published model's folder")
    levels.set_defaults(run=_levels)
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
    publish.add_argument(
        "--replace", action="store_true", help="let a published model of that name give way"
    )
    publish.set_defaults(run=_publish)
    for command in (evaluate, publish):
        command.add_argument(
            "--results", type=Path, default=RESULTS, help=f"for tables and plots ({RESULTS})"
        )
    for command in (train, evaluate, levels, verify, publish):
        command.add_argument("--data", type=Path, help="folder that holds nih/, chestx-det/, test/")
    for command in (train, evaluate, levels, verify):
        command.add_argument(
            "--manifest",
            type=Path,
            action="append",
            default=[],
            help="a CSV manifest beside NIH, or without --data alone; may be given again",
        )


def _train(options: argparse.Namespace) -> int:
    from cxr_training.classifier.config import SMOKE_OVERRIDES, load_config
    from cxr_training.classifier.train import train

    nih, smoke = _nih(options), SMOKE_OVERRIDES if options.smoke else ()
    config = load_config(options.config, (*smoke, *options.set))
    train(config, nih, options.out, manifests=options.manifest, resume=options.resume)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    if options.run_folder is not None:
        from cxr_training.classifier.publish import evaluate_run

        if options.split == "test":
            raise UserError("test patients see published models alone: publish the run first")
        run, nih, overrides = options.run_folder, _nih(options), tuple(options.set)
        found = evaluate_run(run, nih, manifests=options.manifest, overrides=overrides)
        metrics = found.metrics
    else:
        from cxr_training.classifier.card import classifier_card
        from cxr_training.classifier.evaluation import evaluate_model, with_test_figures
        from cxr_training.classifier.results import write_results
        from cxr_training.data.splits import Split
        from cxr_training.export.publishing import write_manifest

        _require_data(options)
        split, results = Split(options.split), options.results
        evaluated = evaluate_model(options.model, options.data, split, options.manifest)
        write_results(evaluated, results / "test" if split is Split.TEST else results)
        if split is Split.TEST:
            manifest = with_test_figures(evaluated)
            write_manifest(manifest, options.model, classifier_card(manifest))
        metrics = evaluated.rows
    from cxr_training.report.tables import format_interval

    for row in metrics:
        if (row.name, row.subset) in {("auroc_mean", "all"), ("ece_mean", "all")}:
            print(f"{row.name} {format_interval(row.result)} on {row.n} {row.split} images")
    return 0


def _levels(options: argparse.Namespace) -> int:
    from cxr_training.classifier.card import classifier_card, levels_table
    from cxr_training.classifier.evaluation import (
        evaluate_model,
        with_fitted_levels,
        with_test_figures,
    )
    from cxr_training.data.splits import Split
    from cxr_training.export.publishing import write_manifest

    _require_data(options)
    manifest = with_fitted_levels(options.model, options.data, options.manifest)
    write_manifest(manifest, options.model, classifier_card(manifest))
    if options.data and (options.data / TEST_FOLDER).is_dir():
        manifest = with_test_figures(evaluate_model(options.model, options.data, Split.TEST))
        write_manifest(manifest, options.model, classifier_card(manifest))
    print("\n\n".join(levels_table(manifest.labels)))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from cxr_training.classifier.evaluation import verify

    _require_data(options)
    found = verify(options.model, options.data, options.manifest)
    print("\n".join(found) or f"{options.model}: every figure is as published")
    return 1 if found else 0


def _publish(options: argparse.Namespace) -> int:
    from cxr_training.classifier.publish import publish

    folder = publish(
        options.run_folder,
        options.models,
        options.results,
        options.data,
        version=options.version,
        replace=options.replace,
    )
    print(folder)
    return 0


def _nih(options: argparse.Namespace) -> Path | None:
    _require_data(options)
    return options.data / NIH_FOLDER if options.data else None


def _require_data(options: argparse.Namespace) -> None:
    if not (options.data or options.manifest):
        raise UserError("--data, --manifest, or both are needed")
