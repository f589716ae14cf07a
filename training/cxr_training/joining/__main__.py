"""`python -m cxr_training.joining fit --data DATA`: writes models/joining/ and its results."""

import argparse
import os
import sys
from pathlib import Path

from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import MANIFEST_NAME, JoiningManifest
from cxr_detector.settings import DetectorSettings
from cxr_serving.model_folder import ModelFolderError
from cxr_training.data.errors import DataError
from cxr_training.data.splits import split_sha256
from cxr_training.joining.answers import ReaderPair, kept_answers
from cxr_training.joining.films import validation_films
from cxr_training.joining.fitting import fit, manifest_of
from cxr_training.joining.judging import BASELINE
from cxr_training.joining.report import write_results


def main(arguments: list[str] | None = None) -> int:
    """Fit, judge and write; the exit status is 1, with a sentence, for what the user can mend."""
    options = _parser().parse_args(arguments)
    # One thread: with two, small convolutions wait for each other more than they gain.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        _fit(options)
    except (DataError, ModelFolderError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _fit(options: argparse.Namespace) -> None:
    readers = ReaderPair.load(
        options.models / "classifier" / options.classifier,
        options.models / "detector" / options.detector,
    )
    films = validation_films(options.data / "nih", options.data / "chestx-det")
    name = f"{options.classifier}--{options.detector}"
    answers = kept_answers(readers, films.images, options.out / name / "answers.npz")
    detector = readers.detector.manifest
    fitted = fit(answers, films.n_annotated, detector)
    manifest = manifest_of(
        fitted, answers, readers.identities, detector, split_sha256(films.splits)
    )
    write_results(manifest, films.n_annotated, options.results)
    path = options.models / "joining" / name / MANIFEST_NAME
    if fitted.winner == BASELINE:
        path.unlink(missing_ok=True)
        print(f"No joining is better than the detector alone, so none stands at {path}.")
    else:
        _write(manifest, path)
        print(f"Wrote {path} ({fitted.winner}).")


def _write(manifest: JoiningManifest, path: Path) -> None:
    """Through a temporary file, so that a gateway never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(manifest.model_dump_json(indent=2) + "\n")
    partial.rename(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cxr_training.joining",
        description="Join the detector's scores with the classifier's probabilities.",
    )
    parser.add_argument("step", choices=["fit"])
    parser.add_argument("--data", type=Path, required=True, help="folder of nih/ and chestx-det/")
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.add_argument(
        "--classifier",
        default=ClassifierSettings.model_fields["model_dir"].default.name,
        help="under models/classifier/; default: the one that is served",
    )
    parser.add_argument(
        "--detector",
        default=DetectorSettings.model_fields["model_dir"].default.name,
        help="under models/detector/; default: the one that is served",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/joining"), help="where answers are kept"
    )
    parser.add_argument("--results", type=Path, default=Path("docs/results/joining"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
