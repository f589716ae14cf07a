"""`python -m cxr_training.drift --data DATA`: writes models/reference/ (`make drift-reference`)."""

import argparse
import sys
from pathlib import Path

from cxr_classifier.predictor import load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import REFERENCE_NAME
from cxr_gateway.ood import OodModelError, load_ood_detector
from cxr_serving.model_folder import ModelFolderError
from cxr_training.data.boxed import read_boxed
from cxr_training.data.errors import DataError
from cxr_training.data.splits import Split, split_sha256
from cxr_training.drift.films import read_films
from cxr_training.drift.reference import reference_of


def main(arguments: list[str] | None = None) -> int:
    """Read the validation films and write the reference; 1, with a sentence, if that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m cxr_training.drift", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    parser.add_argument("--gate", type=Path, default=Path("models/ood/ood-cxr"))
    parser.add_argument("--classifier", type=Path, default=ClassifierSettings().model_dir)
    parser.add_argument("--out", type=Path, default=Path("models/reference"))
    options = parser.parse_args(arguments)
    try:
        path = _write(options)
    except (DataError, OodModelError, ModelFolderError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    print(f"Wrote {path}.")
    return 0


def _write(options: argparse.Namespace) -> Path:
    data = read_boxed(options.data / "nih")
    gate = load_ood_detector(options.gate)
    classifier = load_predictor(ClassifierSettings(model_dir=options.classifier))
    films = list(read_films(data.of(Split.VALIDATION), gate, classifier))
    split = Split.VALIDATION.value, split_sha256(data.splits)
    reference = reference_of(films, gate.manifest, classifier.manifest, split)
    path: Path = options.out / reference.name / REFERENCE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reference.model_dump_json(indent=1) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(main())
