"""`cxr triage fit|evaluate|verify`, `cxr drift reference`, `cxr quality evaluate|template`."""

import argparse
from pathlib import Path

from cxr_training.core.commands import later

CLASSIFIER = Path("models/classifier/lite0-cxr")
OOD = Path("models/ood/ood-cxr")
QUALITY = Path("docs/results/quality")
RESULTS, REFERENCES = Path("docs/results/triage"), Path("models/reference")
CACHE = Path("runs/triage")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `triage`, `drift` and `quality` and their commands."""
    triage = commands.add_parser("triage", help="how soon a person should look")
    verbs = triage.add_subparsers(dest="verb", required=True)
    fit = verbs.add_parser("fit", help="fit to validation patients, and write the triage model")
    fit.set_defaults(run=later("monitoring.triage_report:fit"))
    evaluate = verbs.add_parser("evaluate", help="measure the published triage model")
    evaluate.add_argument("--split", choices=["validation", "test"], default="validation")
    evaluate.set_defaults(run=later("monitoring.triage_report:evaluate"))
    verify = verbs.add_parser("verify", help="measure published figures again; changes nothing")
    verify.set_defaults(run=later("monitoring.triage_report:verify"))
    for verb in (fit, evaluate):
        verb.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    for verb in (fit, evaluate, verify):
        verb.add_argument("--models", type=Path, default=Path("models"))
        verb.add_argument("--cache", type=Path, default=CACHE, help=f"for boxes; default: {CACHE}")
    drift = commands.add_parser("drift", help="what drift is measured against")
    reference = drift.add_subparsers(dest="verb", required=True).add_parser("reference")
    reference.add_argument("--ood", type=Path, default=OOD, help=f"default: {OOD}")
    reference.add_argument("--out", type=Path, default=REFERENCES, help=f"default: {REFERENCES}")
    reference.set_defaults(run=later("monitoring.drift:reference"))
    quality = commands.add_parser("quality", help="who is warned of for the image's quality")
    checks = quality.add_subparsers(dest="verb", required=True)
    warned = checks.add_parser("evaluate", help="on validation patients")
    warned.add_argument("--results", type=Path, default=QUALITY, help=f"default: {QUALITY}")
    warned.add_argument("--spoilt", type=int, default=200, help="images to spoil; default: 200")
    warned.add_argument(
        "--coarser", type=int, default=600, help="images to bring down; default: 600"
    )
    warned.set_defaults(run=later("monitoring.quality:evaluate"))
    made = checks.add_parser("template", help="the mean chest, as the gateway's code holds it")
    made.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    made.set_defaults(run=later("monitoring.quality:print_template"))
    for verb in (fit, evaluate, verify, reference, warned):
        verb.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
        verb.add_argument("--classifier", type=Path, default=CLASSIFIER)
