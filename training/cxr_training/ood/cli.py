"""`python -m cxr_training.gate train|publish|evaluate`."""

import argparse
import logging
import sys
import time
from pathlib import Path

from cxr_training.data.errors import DataError

_LOG = logging.getLogger("cxr_training.gate")
_CONFIG = Path("training/configs/gate.yaml")
_MODEL = Path("models/gate/gate-cxr")
_RESULTS = Path("docs/results/gate")
# Another processor may round a picture's resizing otherwise.
_TOLERANCE = 2e-3


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 1 with a sentence on stderr for what the user can mend."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        options.run_command(options)
    except (DataError, ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 1
    return 0


# PyTorch takes seconds to import; `--help` should not wait for it.


def _train(options: argparse.Namespace) -> None:
    from cxr_training.gate.config import read_config
    from cxr_training.gate.radiographs import nih_root
    from cxr_training.gate.run import train

    summary = train(nih_root(options.data), read_config(options.config), options.out)
    _LOG.info("fitted on %d radiographs: %s", summary.n_fit, options.out)


def _publish(options: argparse.Namespace) -> None:
    from cxr_training.gate.publishing import publish
    from cxr_training.gate.run import read_run

    summary, network = read_run(options.run)
    manifest = publish(summary, network, options.out, version=options.version)
    _LOG.info("%s %s: %s", manifest.name, manifest.version, options.out)


def _evaluate(options: argparse.Namespace) -> None:
    from cxr_gateway.gate import load_gate
    from cxr_training.core.errors import PublishError
    from cxr_training.gate.card import results_page
    from cxr_training.gate.evaluation import evaluate, metric_rows, write_table
    from cxr_training.gate.plotting import draw_results
    from cxr_training.gate.publishing import add_metrics
    from cxr_training.gate.radiographs import nih_root, read_gate_data
    from cxr_training.metrics.rows import differing_figures

    gate = load_gate(options.model)
    recipe = gate.manifest.training.recipe
    data = read_gate_data(nih_root(options.data), int(recipe["calibration_percent"]))
    if data.split_sha256 != gate.manifest.data.split_sha256:
        raise ValueError(f"{options.model} was trained on another split: its patients may be here")
    started = time.monotonic()
    rows, outcomes = evaluate(
        gate,
        data.validation,
        seed=int(recipe["seed"]),
        drawn_per_kind=options.drawn_per_kind,
    )
    write_table(rows, options.out / "gate.csv")
    draw_results(rows, outcomes, gate.manifest.labels[0].threshold, options.out / "gate.png")
    metrics = metric_rows(rows)
    elapsed_s = time.monotonic() - started
    _LOG.info("%d pictures judged in %.0f s: %s", len(outcomes), elapsed_s, options.out)
    if options.check:
        differing = differing_figures(gate.manifest.metrics, metrics, _TOLERANCE)
        if differing:
            raise PublishError(f"{options.model} says otherwise: {'; '.join(differing)}")
        manifest = gate.manifest
    else:
        manifest = add_metrics(options.model, metrics, n_validation=len(data.validation))
    (options.out / "README.md").write_text(results_page(manifest))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cxr_training.gate", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="fit a gate; leaves a run directory")
    train.set_defaults(run_command=_train)
    train.add_argument("--config", type=Path, default=_CONFIG)
    _add_data(train)
    train.add_argument("--out", type=Path, required=True, help="run directory")
    publish = commands.add_parser("publish", help="write a run into a model folder")
    publish.set_defaults(run_command=_publish)
    publish.add_argument("--run", type=Path, required=True, help="a finished run directory")
    publish.add_argument("--out", type=Path, default=_MODEL, help="model folder")
    publish.add_argument("--version", required=True)
    evaluate = commands.add_parser(
        "evaluate", help="judge a published gate; writes table, plot, manifest and card"
    )
    evaluate.set_defaults(run_command=_evaluate)
    evaluate.add_argument("--model", type=Path, default=_MODEL, help="model folder")
    _add_data(evaluate)
    evaluate.add_argument("--out", type=Path, default=_RESULTS, help="folder for table and plot")
    evaluate.add_argument(
        "--check", action="store_true", help="compare with the manifest instead of writing it"
    )
    evaluate.add_argument("--drawn-per-kind", type=int, default=150, help="generated pictures")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="NIH ChestX-ray14 as published, or what holds nih/"
    )


if __name__ == "__main__":
    raise SystemExit(main())
