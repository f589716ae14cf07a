"""`cxr triage fit|evaluate|verify`, `cxr drift reference`, `cxr quality evaluate|template`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_classifier.predictor import ClassifierPredictor
    from cxr_contracts import TriageManifest
    from cxr_detector.fused import FusedPredictor
    from cxr_detector.predictor import DetectorPredictor
    from cxr_training.data.splits import Split
    from cxr_training.monitoring.triage import TriageImages

CLASSIFIER = Path("models/classifier/lite0-cxr")
OOD = Path("models/ood/ood-cxr")
QUALITY = Path("docs/results/quality")
RESULTS, REFERENCES = Path("docs/results/triage"), Path("models/reference")
CACHE = Path("runs/triage")
# Two machines' processors round differently; a figure that moves by more is another one.
_TOLERANCE = 2e-3


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `triage`, `drift` and `quality` and their commands."""
    triage = commands.add_parser("triage", help="how soon a person should look")
    verbs = triage.add_subparsers(dest="verb", required=True)
    fit = verbs.add_parser("fit", help="fit to validation patients, and write the triage model")
    fit.set_defaults(run=_fit_triage)
    evaluate = verbs.add_parser("evaluate", help="measure the published triage model")
    evaluate.add_argument("--split", choices=["validation", "test"], default="validation")
    evaluate.set_defaults(run=_evaluate_triage)
    verify = verbs.add_parser("verify", help="measure published figures again; changes nothing")
    verify.set_defaults(run=_verify_triage)
    for verb in (fit, evaluate):
        verb.add_argument("--results", type=Path, default=RESULTS, help=f"default: {RESULTS}")
    for verb in (fit, evaluate, verify):
        verb.add_argument("--models", type=Path, default=Path("models"))
        verb.add_argument("--cache", type=Path, default=CACHE, help=f"for boxes; default: {CACHE}")
    drift = commands.add_parser("drift", help="what drift is measured against")
    reference = drift.add_subparsers(dest="verb", required=True).add_parser("reference")
    reference.add_argument("--ood", type=Path, default=OOD, help=f"default: {OOD}")
    reference.add_argument("--out", type=Path, default=REFERENCES, help=f"default: {REFERENCES}")
    reference.set_defaults(run=_drift_reference)
    quality = commands.add_parser("quality", help="who is warned of for the image's quality")
    checks = quality.add_subparsers(dest="verb", required=True)
    warned = checks.add_parser("evaluate", help="on validation patients")
    warned.add_argument("--results", type=Path, default=QUALITY, help=f"default: {QUALITY}")
    warned.add_argument("--spoilt", type=int, default=200, help="images to spoil; default: 200")
    warned.add_argument(
        "--coarser", type=int, default=600, help="images to bring down; default: 600"
    )
    warned.set_defaults(run=_evaluate_quality)
    made = checks.add_parser("template", help="the mean chest, as the gateway's code holds it")
    made.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    made.set_defaults(run=_quality_template)
    for verb in (fit, evaluate, verify, reference, warned):
        verb.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
        verb.add_argument("--classifier", type=Path, default=CLASSIFIER)


def _fit_triage(options: argparse.Namespace) -> int:
    from cxr_serving.model_folder import identity_of
    from cxr_training.data.splits import Split
    from cxr_training.export.publishing import write_manifest
    from cxr_training.monitoring.triage import fit_triage
    from cxr_training.monitoring.triage_report import write_results

    images, classifier, detector, split_sha256 = _triage_images(options, Split.VALIDATION)
    manifest = fit_triage(
        images, identity_of(classifier.manifest), identity_of(detector.manifest), split_sha256
    )
    folder = options.models / "triage" / manifest.name
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, folder)
    write_results(manifest, options.results)
    print((options.results / "README.md").read_text())
    return 0


def _evaluate_triage(options: argparse.Namespace) -> int:
    from cxr_training.data.splits import Split
    from cxr_training.export.publishing import write_manifest
    from cxr_training.monitoring.triage import measure, with_measured
    from cxr_training.monitoring.triage_report import write_results

    split = Split(options.split)
    images, classifier, detector, _ = _triage_images(options, split)
    folder, published = _published_triage(options, classifier, detector)
    manifest = with_measured(published, measure(images, published, split))
    write_manifest(manifest, folder)
    write_results(manifest, options.results)
    print((options.results / "README.md").read_text())
    return 0


def _verify_triage(options: argparse.Namespace) -> int:
    from cxr_training.data.splits import Split
    from cxr_training.monitoring.triage import measure
    from cxr_training.report.tables import differing_figures

    differing = []
    for split in (Split.VALIDATION, Split.TEST):
        images, classifier, detector, _ = _triage_images(options, split)
        folder, published = _published_triage(options, classifier, detector)
        measured = measure(images, published, split)
        names = {row.name for row in measured}
        rows = [x for x in published.metrics if x.split == split.value and x.name in names]
        differing += differing_figures(rows, measured, _TOLERANCE)
    print("\n".join(differing) or f"{folder}: every figure is as published")
    return 1 if differing else 0


def _published_triage(
    options: argparse.Namespace,
    classifier: "ClassifierPredictor",
    detector: "DetectorPredictor | FusedPredictor",
) -> "tuple[Path, TriageManifest]":
    from cxr_contracts import MANIFEST_NAME
    from cxr_serving.model_folder import identity_of
    from cxr_training.monitoring.triage import read_triage

    identities = identity_of(classifier.manifest), identity_of(detector.manifest)
    folder = options.models / "triage" / "--".join(one.name for one in identities)
    return folder, read_triage(folder / MANIFEST_NAME, *identities)


def _triage_images(
    options: argparse.Namespace, split: "Split"
) -> "tuple[TriageImages, ClassifierPredictor, DetectorPredictor | FusedPredictor, str]":
    from cxr_classifier.predictor import load_predictor as load_classifier
    from cxr_classifier.settings import ClassifierSettings
    from cxr_detector.loading import load_predictor as load_detector
    from cxr_detector.settings import DetectorSettings
    from cxr_training.data.layout import NIH_FOLDER, RSNA_FOLDER, TEST_FOLDER
    from cxr_training.data.nih import read_boxed
    from cxr_training.data.rsna import Read, read_reads
    from cxr_training.data.splits import Split, split_sha256
    from cxr_training.monitoring.triage import TriageImages, answers_of

    is_test = split is Split.TEST
    root = options.data / TEST_FOLDER if is_test else options.data
    boxed = read_boxed(root / NIH_FOLDER, held_out=is_test)
    images = boxed.of(split)
    normal = set()
    if (root / RSNA_FOLDER).is_dir():
        reads = read_reads(root / RSNA_FOLDER, held_out=is_test)
        normal = {one.nih_name for one in reads if one.read is Read.NORMAL}
    classifier = load_classifier(ClassifierSettings(model_dir=options.classifier))
    detector = load_detector(DetectorSettings(model_dir=options.models / "detector"))
    answers = answers_of(images, classifier, detector, options.cache)
    return (
        TriageImages.of(images, answers, normal),
        classifier,
        detector,
        split_sha256(boxed.splits),
    )


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


def _evaluate_quality(options: argparse.Namespace) -> int:
    from cxr_classifier.predictor import load_predictor
    from cxr_classifier.settings import ClassifierSettings
    from cxr_training.data.layout import NIH_FOLDER
    from cxr_training.data.nih import read_boxed
    from cxr_training.data.pixels import decode_grey
    from cxr_training.data.splits import Split
    from cxr_training.monitoring import quality

    images = read_boxed(options.data / NIH_FOLDER).of(Split.VALIDATION)
    predictor = load_predictor(ClassifierSettings(model_dir=options.classifier))
    found = quality.measured(images, predictor)
    large = [one.image for one in found if one.side_px >= quality.LARGE_PX]
    spoilt = quality.sensitivities([decode_grey(image.path) for image in large[: options.spoilt]])
    coarser = quality.aurocs_of_coarser(large[: options.coarser], predictor)
    quality.write_results(found, spoilt, coarser, options.results)
    print((options.results / "README.md").read_text())
    return 0


def _quality_template(options: argparse.Namespace) -> int:
    from cxr_training.data.layout import NIH_FOLDER
    from cxr_training.data.nih import read_boxed
    from cxr_training.data.splits import Split
    from cxr_training.monitoring.quality import template

    print(template(read_boxed(options.data / NIH_FOLDER).of(Split.TRAIN)))
    return 0
