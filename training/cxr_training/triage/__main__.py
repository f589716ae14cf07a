"""`python -m cxr_training.triage --data DATA`: writes docs/results/triage/."""

import argparse
from pathlib import Path

from cxr_training.data.boxed import read_boxed
from cxr_training.data.splits import Split
from cxr_training.triage.evaluation import evaluate, write
from cxr_training.triage.readings import triaged


def main() -> None:
    """Read the validation radiographs, triage them, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    parser.add_argument("--classifier", type=Path, default=Path("models/classifier/lite0-nih14"))
    parser.add_argument("--detector", type=Path, default=Path("models/detector"))
    parser.add_argument("--rescoring", type=Path, default=Path("models/rescoring"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/triage"))
    options = parser.parse_args()
    validation = read_boxed(options.data / "nih").of(Split.VALIDATION)
    readings = triaged(validation, options.classifier, options.detector, options.rescoring)
    rows = evaluate(list(readings))
    write(rows, options.out)
    print((options.out / "README.md").read_text())


if __name__ == "__main__":
    main()
