"""`python -m cxr_training.classifier train|time|evaluate|publish|judge|ablate`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from cxr_serving.model_folder import ModelFolderError
from cxr_training.classifier.config import SMOKE_OVERRIDES, load_config
from cxr_training.core.errors import ConfigError, PublishError, RunError
from cxr_training.core.runs import is_first_process, refuse_several_processes
from cxr_training.data.errors import DataError
from cxr_training.export.publishing import read_manifest
from cxr_training.report.tables import format_interval

NIH = "nih"
# Differences in an error's sentence; all of them are printed and written.
NAMED = 3
RESULTS = Path("docs/results/classifier")
MEAN_OVER_ALL = ("auroc_mean", "all")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 1 with a sentence on stderr for what the user can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    reads_either = options.command in ("train", "time", "evaluate", "judge")
    if reads_either and not (options.data or options.manifest):
        parser.error("--data, --manifest, or both are needed")
    try:
        _run(options)
    except (ConfigError, DataError, RunError, PublishError, ModelFolderError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    # PyTorch takes seconds to import; `--help` and a misspelt option should not.
    if options.command not in {"train", "time"}:
        refuse_several_processes(options.command)
    if options.command == "train":
        from cxr_training.classifier.train import train

        train(
            load_config(options.config, _overrides(options)),
            _nih(options),
            options.out,
            manifests=options.manifest,
            resume=options.resume,
            stream=options.stream,
            start=options.start,
        )
    elif options.command == "evaluate":
        from cxr_training.classifier.evaluate import evaluate

        evaluated = evaluate(
            options.out,
            _nih(options),
            manifests=options.manifest,
            stream=options.stream,
            overrides=tuple(options.set),
        )
        [mean] = [row for row in evaluated.metrics if (row.name, row.subset) == MEAN_OVER_ALL]
        print(f"mean AUROC {format_interval(mean.result)} on {mean.n} validation images")
    elif options.command == "time":
        _time(options)
    elif options.command == "ablate":
        _ablate(options)
    elif options.command == "judge":
        _judge(options)
    else:
        from cxr_training.classifier.publish import publish

        folder = publish(
            options.out, options.models, options.results, options.data, version=options.version
        )
        print(folder)


def _judge(options: argparse.Namespace) -> None:
    from cxr_training.classifier.judging import comparison, complete, judge, write_results

    compared = options.check or options.complete
    judgement = judge(options.model, options.data, manifests=options.manifest, check=compared)
    if options.complete:
        print(f"{complete(options.model, judgement)} figures were added to {options.model}")
        judgement = replace(judgement, manifest=read_manifest(options.model))
    differences = comparison(judgement) if judgement.is_comparable else None
    write_results(judgement, options.results, differences)
    for name in ("auroc_mean", "ece_mean"):
        [row] = [row for row in judgement.rows if (row.name, row.subset) == (name, "all")]
        print(f"{name} {format_interval(row.result)} on {row.n} validation images")
    for difference in differences or ():
        print(difference)
    if options.check and differences:
        raise PublishError(
            f"the figures of {options.model} are not those of its manifest: "
            f"{'; '.join(differences[:NAMED])}; {options.results}/README.md lists all"
        )


def _nih(options: argparse.Namespace) -> Path | None:
    return options.data / NIH if options.data else None


def _time(options: argparse.Namespace) -> None:
    from cxr_training.classifier.timing import time_training

    timing = time_training(
        load_config(options.config, _overrides(options)),
        _nih(options),
        manifests=options.manifest,
        steps=options.steps,
        stream=options.stream,
    )
    if is_first_process():
        print("\n".join(timing.lines()))


def _ablate(options: argparse.Namespace) -> None:
    from cxr_training.classifier.ablation.plan import load_plan
    from cxr_training.classifier.ablation.report import ablation_lines, write_ablation
    from cxr_training.classifier.ablation.run import run_ablation

    plan = load_plan(options.plan)
    overrides = _overrides(options)
    run_ablation(plan, options.config, options.data / NIH, options.out, overrides)
    few = load_config(options.config, overrides).evaluation.min_positives
    write_ablation(ablation_lines(plan, options.out, few), options.results)


def _overrides(options: argparse.Namespace) -> tuple[str, ...]:
    return (*(SMOKE_OVERRIDES if options.smoke else ()), *options.set)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cxr_training.classifier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train into a run directory")
    timed = commands.add_parser("time", help="measure some steps and predict a run's length")
    evaluate = commands.add_parser("evaluate", help="judge and calibrate a run")
    publish = commands.add_parser("publish", help="write the model folder of an evaluated run")
    judge = commands.add_parser("judge", help="measure a published model's figures again")
    ablate = commands.add_parser("ablate", help="train the recipe with one part changed at a time")
    for command in (train, evaluate, publish, ablate):
        command.add_argument("--out", type=Path, required=True, help="the run directory")
    for command in (train, timed, evaluate, ablate, judge):
        command.add_argument(
            "--data",
            type=Path,
            required=command is ablate,
            help="folder that holds nih/",
        )
    for command in (train, timed, evaluate, judge):
        command.add_argument(
            "--manifest",
            type=Path,
            action="append",
            default=[],
            help="a CSV manifest beside NIH, or without --data alone; may be given again",
        )
    for command in (train, timed, evaluate):
        command.add_argument(
            "--stream", action="store_true", help="decode images as needed instead of once"
        )
    ablate.add_argument("--plan", type=Path, required=True, help="the arms, YAML")
    ablate.add_argument("--results", type=Path, required=True, help="for the table and picture")
    timed.add_argument("--steps", type=_positive, default=30, help="to measure; default: 30")
    _add_published(judge, publish)
    train.add_argument("--start", type=Path, help="last.pt of a run whose weights to begin with")
    train.add_argument("--resume", action="store_true", help="go on from last.pt")
    _add_recipe(train, timed, ablate)
    for command in (train, timed, ablate, evaluate):
        command.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a key"
        )
    publish.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    publish.add_argument("--version", help="default: the recipe's")
    return parser


def _add_recipe(*commands: argparse.ArgumentParser) -> None:
    for command in commands:
        command.add_argument("--config", type=Path, required=True, help="the recipe, YAML")
        command.add_argument("--smoke", action="store_true", help="one short epoch, to try it")


def _add_published(judge: argparse.ArgumentParser, publish: argparse.ArgumentParser) -> None:
    for command in (judge, publish):
        command.add_argument(
            "--results", type=Path, default=RESULTS, help=f"for tables and pictures ({RESULTS})"
        )
    publish.add_argument(
        "--data", type=Path, help="judge the maps, too; folder that holds nih/, chestx-det/"
    )
    judge.add_argument("--model", type=Path, required=True, help="a published model's folder")
    judge.add_argument(
        "--check", action="store_true", help="fail where the manifest's figures are others"
    )
    judge.add_argument(
        "--complete",
        action="store_true",
        help="add figures that the manifest lacks, if all that it has are right",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
