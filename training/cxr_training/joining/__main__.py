"""`python -m cxr_training.joining fit|evaluate --data DATA`; see `make fit-joining`.

`fit` writes a pair's models/joining/ and its results; `evaluate` measures the published ones again
and compares.
"""

import argparse
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import MANIFEST_NAME, JoiningManifest
from cxr_serving.model_folder import ModelFolderError, choose_model
from cxr_training.core.errors import PublishError
from cxr_training.data.errors import DataError
from cxr_training.data.splits import split_sha256
from cxr_training.detector.annotations import REGIONS
from cxr_training.joining.answers import ReaderPair, kept_answers
from cxr_training.joining.films import validation_films
from cxr_training.joining.fitting import fit, manifest_of
from cxr_training.joining.forms import FORMS
from cxr_training.joining.judging import BASELINE
from cxr_training.joining.report import write_results
from cxr_training.metrics.rows import differing_figures

# Two machines' processors round differently; a figure that moves by more is another one.
_TOLERANCE = 2e-3


def main(arguments: list[str] | None = None) -> int:
    """Fit, judge and write; the exit status is 1, with a sentence, for what the user can mend."""
    options = _parser().parse_args(arguments)
    # One thread: with two, small convolutions wait for each other more than they gain.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        {"fit": _fit, "evaluate": _evaluate}[options.step](options)
    except (DataError, ModelFolderError, PublishError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _fit(options: argparse.Namespace) -> None:
    detector = options.detector or _served(options)
    manifest, n_annotated = _measured(options, detector, options.form)
    write_results(manifest, n_annotated, options.results / _pair(options, detector))
    path = _manifest_path(options, detector)
    if manifest.fit.form == BASELINE:
        path.unlink(missing_ok=True)
        print(f"No joining is better than the detector alone, so none stands at {path}.")
    else:
        _write(manifest, path)
        print(f"Wrote {path} ({manifest.fit.form}).")


def _evaluate(options: argparse.Namespace) -> None:
    """Measure what is published again, nothing included.

    Raises:
        PublishError: it is broken, for other weights, or its figures are others.
    """
    detectors = [options.detector] if options.detector else [_served(options), *_joined(options)]
    for detector in dict.fromkeys(detectors):
        _evaluate_one(options, detector)


def _evaluate_one(options: argparse.Namespace, detector: str) -> None:
    path = _manifest_path(options, detector)
    if not path.exists():
        measured, _ = _measured(options, detector, None)
        if measured.fit.form != BASELINE:
            raise PublishError(f"{path} is missing, and `{measured.fit.form}` would help")
        print(f"{path}: not there, and no joining is better than the detector alone.")
        return
    try:
        published = JoiningManifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise PublishError(f"{path} is no joining: {error}") from error
    measured, _ = _measured(options, detector, published.fit.form)
    if (measured.classifier, measured.detector) != (published.classifier, published.detector):
        raise PublishError(f"{path} was fitted to other models: run make fit-joining")
    differing = differing_figures(published.metrics, measured.metrics, _TOLERANCE)
    if differing:
        raise PublishError(f"{path} says otherwise: {'; '.join(differing)}")
    print(f"{path}: every figure as published.")


def _measured(
    options: argparse.Namespace, detector: str, form: str | None
) -> tuple[JoiningManifest, int]:
    """A new manifest for both models, and how many of its radiographs are annotated."""
    readers = ReaderPair.load(
        options.models / "classifier" / options.classifier,
        options.models / "detector" / detector,
    )
    missing = [region for region in REGIONS if region not in readers.detector.regions]
    if missing:
        raise PublishError(
            f"a joining has constants for every kind of region, and {detector} does not "
            f"know {', '.join(missing)}"
        )
    films = validation_films(options.data / "nih", options.data / "chestx-det")
    kept = options.out / _pair(options, detector) / "answers.npz"
    answers = kept_answers(readers, films.images, kept)
    fitted = fit(answers, films.n_annotated, readers.detector.manifest, form=form)
    split = split_sha256(films.splits)
    manifest = manifest_of(fitted, answers, readers.identities, readers.detector.manifest, split)
    return manifest, films.n_annotated


def _pair(options: argparse.Namespace, detector: str) -> str:
    return f"{options.classifier}--{detector}"


def _served(options: argparse.Namespace) -> str:
    """The name of the default detector's folder."""
    return choose_model(options.models / "detector").name


def _joined(options: argparse.Namespace) -> list[str]:
    """The detectors with which a joining of this classifier is published."""
    prefix = _pair(options, "")
    found = (options.models / "joining").glob(f"{prefix}*/{MANIFEST_NAME}")
    return sorted(path.parent.name.removeprefix(prefix) for path in found)


def _manifest_path(options: argparse.Namespace, detector: str) -> Path:
    path: Path = options.models / "joining" / _pair(options, detector) / MANIFEST_NAME
    return path


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
    parser.add_argument("step", choices=["fit", "evaluate"])
    parser.add_argument("--data", type=Path, required=True, help="folder of nih/ and chestx-det/")
    parser.add_argument("--models", type=Path, default=Path("models"), help="default: models")
    parser.add_argument(
        "--classifier",
        default=ClassifierSettings.model_fields["model_dir"].default.name,
        help="under models/classifier/; default: the one that is served",
    )
    parser.add_argument(
        "--detector",
        help="under models/detector/; default: the one that is served, and to evaluate also "
        "those with a published joining",
    )
    parser.add_argument(
        "--form",
        choices=[form for form in FORMS if form != BASELINE],
        help="fit: ship this one whatever the rule takes; the results say so",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/joining"), help="where answers are kept"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("docs/results/joining"),
        help="fit: of all pairs; each has a folder in it",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
