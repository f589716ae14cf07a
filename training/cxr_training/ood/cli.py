"""`cxr ood train|publish|evaluate|verify`."""

import argparse
from pathlib import Path

_CONFIG = Path("training/configs/ood.yaml")
_MODEL = Path("models/ood/ood-cxr")
_RESULTS = Path("docs/results/ood")
# Another processor may round an image's resizing otherwise.
_TOLERANCE = 2e-3


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ood` and its commands; each sets `run`, from the options to the exit status."""
    ood = commands.add_parser("ood", help="the out-of-distribution detector")
    actions = ood.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="fit a detector; leaves a run directory")
    train.set_defaults(run=_train)
    train.add_argument("--config", type=Path, default=_CONFIG, help="recipe (YAML)")
    _add_data(train)
    train.add_argument("--out", type=Path, required=True, help="run directory")
    publish = actions.add_parser("publish", help="write a run into a model folder")
    publish.set_defaults(run=_publish)
    publish.add_argument("--run", type=Path, required=True, dest="folder", help="run directory")
    publish.add_argument("--out", type=Path, default=_MODEL, help="model folder")
    publish.add_argument("--version", required=True, help="of the model")
    publish.add_argument(
        "--replace", action="store_true", help="let a published model of that name give way"
    )
    evaluate = actions.add_parser("evaluate", help="measure; writes table, plot, manifest, card")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("--out", type=Path, default=_RESULTS, help="folder for table and plot")
    verify = actions.add_parser("verify", help="measure again, compare with what is published")
    verify.set_defaults(run=_verify)
    for parser in (evaluate, verify):
        parser.add_argument("--model", type=Path, default=_MODEL, help="model folder")
        parser.add_argument("--split", choices=("validation", "test"), default="validation")
        _add_data(parser)
        parser.add_argument(
            "--synthetic-per-kind", type=int, default=150, help="synthetic images of each kind"
        )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="NIH ChestX-ray14 as published, or what holds nih/"
    )


# PyTorch takes seconds to import; `--help` should not wait for it.


def _train(options: argparse.Namespace) -> int:
    from cxr_training.core.config import read_config
    from cxr_training.ood.network import OodConfig
    from cxr_training.ood.training import train

    config = read_config(OodConfig, options.config)
    summary = train(options.data, config, options.out)
    print(f"fitted on {summary.n_fit} radiographs: {options.out}")
    return 0


def _publish(options: argparse.Namespace) -> int:
    from cxr_training.ood.publish import publish
    from cxr_training.ood.training import read_run

    summary, network = read_run(options.folder)
    manifest = publish(
        summary, network, options.out, version=options.version, replace=options.replace
    )
    print(f"{manifest.name} {manifest.version}: {options.out}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from cxr_training.ood.evaluation import draw_results, measure, metric_rows, write_table
    from cxr_training.ood.publish import add_metrics, results_page

    measured = measure(options.model, options.data, options.split, options.synthetic_per_kind)
    rows, outcomes, threshold = measured.rows, measured.outcomes, measured.threshold
    metrics = metric_rows(rows, options.split)
    options.out.mkdir(parents=True, exist_ok=True)
    write_table(rows, options.out / f"ood-{options.split}.csv")
    draw_results(rows, outcomes, threshold, options.out / f"ood-{options.split}.png")
    manifest = add_metrics(
        options.model, metrics, split=options.split, n_images=measured.n_radiographs
    )
    (options.out / "README.md").write_text(results_page(manifest))
    print(f"{len(outcomes)} images evaluated: {options.out}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from cxr_training.export.publishing import read_manifest
    from cxr_training.ood.evaluation import measure, metric_rows
    from cxr_training.report.tables import differing_figures

    measured = measure(options.model, options.data, options.split, options.synthetic_per_kind)
    published = [row for row in read_manifest(options.model).metrics if row.split == options.split]
    again = metric_rows(measured.rows, options.split)
    differing = differing_figures(published, again, _TOLERANCE)
    for sentence in differing:
        print(sentence)
    print(f"{options.model}: {len(published)} figures published, {len(differing)} differ")
    return 1 if differing else 0
