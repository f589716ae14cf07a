"""`cxr triage evaluate` and `cxr drift reference`."""

import argparse
from pathlib import Path

CLASSIFIER = Path("models/classifier/lite0-nih14")
OOD = Path("models/ood/ood-cxr")
RESULTS, REFERENCES = Path("docs/results/triage"), Path("models/reference")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `triage` and `drift` and their commands."""
    triage = commands.add_parser("triage", help="how the triage table orders radiographs")
    evaluate = triage.add_subparsers(dest="verb", required=True).add_parser("evaluate")
    evaluate.add_argument("--split", choices=["validation", "test"], default="validation")
    evaluate.add_argument("--models", type=Path, default=Path("models"))
    evaluate.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    evaluate.set_defaults(run=_evaluate_triage)
    drift = commands.add_parser("drift", help="what drift is measured against")
    reference = drift.add_subparsers(dest="verb", required=True).add_parser("reference")
    reference.add_argument("--ood", type=Path, default=OOD, help=f"default: {OOD}")
    reference.add_argument("--out", type=Path, default=REFERENCES, help=f"default: {REFERENCES}")
    reference.set_defaults(run=_drift_reference)
    for verb in (evaluate, reference):
        verb.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
        verb.add_argument("--classifier", type=Path, default=CLASSIFIER)


def _evaluate_triage(options: argparse.Namespace) -> int:
    from cxr_training.data.boxed import read_boxed
    from cxr_training.data.layout import NIH_FOLDER, TEST_FOLDER
    from cxr_training.data.splits import Split
    from cxr_training.monitoring.triage import priority_shares, triaged, write_shares

    split = Split(options.split)
    is_test = split is Split.TEST
    root = options.data / TEST_FOLDER if is_test else options.data
    images = read_boxed(root / NIH_FOLDER, held_out=is_test).of(split)
    shares = priority_shares(list(triaged(images, options.models, options.classifier)))
    folder = options.results / "test" if is_test else options.results
    write_shares(shares, folder, split.value)
    print((folder / "README.md").read_text())
    return 0


def _drift_reference(options: argparse.Namespace) -> int:
    from cxr_serving.model_folder import ModelFolderError
    from cxr_training.core.errors import ConfigError
    from cxr_training.monitoring.drift import write_reference

    try:
        path = write_reference(options.data, options.ood, options.classifier, options.out)
    except ModelFolderError as error:
        raise ConfigError(str(error)) from error
    print(f"Wrote {path}.")
    return 0
