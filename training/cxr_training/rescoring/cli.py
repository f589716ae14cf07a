"""`cxr rescoring fit|evaluate|verify`.

`fit` writes a pair's models/rescoring/ and its results; `evaluate` measures the published ones
again and writes their results; `verify` compares them with their manifests and changes nothing.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_contracts import MANIFEST_NAME

if TYPE_CHECKING:
    from cxr_training.rescoring.predictions import ModelPair

RESULTS = Path("docs/results/rescoring")
# Two machines' processors round differently; a figure that moves by more is another one.
_TOLERANCE = 2e-3


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rescoring` and its commands."""
    rescoring = commands.add_parser("rescoring", help="a detector's scores, moved by a classifier")
    verbs = rescoring.add_subparsers(dest="verb", required=True)
    for name, run, said in (
        ("fit", _fit, "fit to validation patients and write, where it is worth it"),
        ("evaluate", _evaluate, "measure what is published, and write the figures"),
        ("verify", _verify, "measure published figures again; changes nothing"),
    ):
        verb = verbs.add_parser(name, help=said)
        verb.set_defaults(run=run)
        verb.add_argument("--data", type=Path, required=True, help="holds nih/ and chestx-det/")
        verb.add_argument("--models", type=Path, default=Path("models"))
        verb.add_argument("--classifier", help="under models/classifier/; default: the served one")
        verb.add_argument(
            "--detector",
            help="under models/detector/; default: the served one, for evaluate and verify every "
            "one with a published rescoring",
        )
        if name != "verify":
            verb.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
        if name == "fit":
            verb.add_argument("--force", action="store_true", help="write it in any case")
        if name == "evaluate":
            verb.add_argument("--split", choices=["validation", "test"], default="validation")


def _fit(options: argparse.Namespace) -> int:
    from cxr_serving.model_folder import choose_model
    from cxr_training.data.splits import Split
    from cxr_training.rescoring.evaluation import LIFTED
    from cxr_training.rescoring.predictions import images_of, predict
    from cxr_training.rescoring.publish import fit_rescoring, write_rescoring
    from cxr_training.rescoring.report import write_results

    detector = options.detector or choose_model(options.models / "detector").name
    pair, path = _pair(options, detector)
    images, split_sha256 = images_of(options.data, Split.VALIDATION)
    predictions = predict(pair, images)
    manifest = fit_rescoring(predictions, pair, split_sha256)
    write_results(manifest, predictions, options.results / path.parent.name)
    if manifest.fit.rule_form == LIFTED or options.force:
        write_rescoring(manifest, path)
        print(f"Wrote {path}.")
    else:
        path.unlink(missing_ok=True)
        print(f"Rescoring is not better than the detector alone, so there is none at {path}.")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from cxr_training.data.splits import Split
    from cxr_training.rescoring.predictions import images_of, predict
    from cxr_training.rescoring.publish import fit_rescoring, on_test_patients, read_rescoring
    from cxr_training.rescoring.report import write_results

    split = Split(options.split)
    images, split_sha256 = images_of(options.data, split)
    for detector in _published(options):
        pair, path = _pair(options, detector)
        published = read_rescoring(path, pair)
        predictions = predict(pair, images)
        folder = options.results / path.parent.name
        if split is Split.TEST:
            write_results(
                on_test_patients(published, predictions, pair), predictions, folder / "test"
            )
        else:
            write_results(fit_rescoring(predictions, pair, split_sha256), predictions, folder)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from cxr_training.data.splits import Split
    from cxr_training.metrics.rows import differing_figures
    from cxr_training.rescoring.predictions import images_of, predict
    from cxr_training.rescoring.publish import fit_rescoring, read_rescoring

    images, split_sha256 = images_of(options.data, Split.VALIDATION)
    differing = 0
    for detector in _published(options):
        pair, path = _pair(options, detector)
        published = read_rescoring(path, pair)
        measured = fit_rescoring(predict(pair, images), pair, split_sha256)
        sentences = differing_figures(published.metrics, measured.metrics, _TOLERANCE)
        differing += len(sentences)
        print(f"{path}: {len(sentences) or 'no'} figures differ from the manifest")
        for sentence in sentences:
            print(f"  {sentence}")
    return 1 if differing else 0


def _pair(options: argparse.Namespace, detector: str) -> "tuple[ModelPair, Path]":
    """Both models, and where their rescoring is published."""
    # One thread: with two, small convolutions wait for each other more than they gain.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from cxr_training.rescoring.predictions import ModelPair

    classifier = _classifier(options)
    folders = options.models / "classifier" / classifier, options.models / "detector" / detector
    path = options.models / "rescoring" / f"{classifier}--{detector}" / MANIFEST_NAME
    return ModelPair.load(*folders), path


def _published(options: argparse.Namespace) -> Iterator[str]:
    """The detectors with which a rescoring by this classifier is published, or the one named."""
    if options.detector:
        yield options.detector
        return
    prefix = f"{_classifier(options)}--"
    for path in sorted((options.models / "rescoring").glob(f"{prefix}*/{MANIFEST_NAME}")):
        yield path.parent.name.removeprefix(prefix)


def _classifier(options: argparse.Namespace) -> str:
    from cxr_classifier.settings import ClassifierSettings

    served: str = ClassifierSettings.model_fields["model_dir"].default.name
    return options.classifier or served
