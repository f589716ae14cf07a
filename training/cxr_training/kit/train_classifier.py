"""A classifier of labels of one's own: trained, calibrated, measured, published."""

import json
from pathlib import Path
from typing import Final

from cxr_contracts import Finding, ModelManifest
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.calibration import shipped_decisions
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.evaluation import ModelEvaluation, rules_of, with_test_figures
from cxr_training.classifier.metrics import metric_rows
from cxr_training.classifier.predictions import predict
from cxr_training.classifier.publish import MODEL, evaluate_on, publish
from cxr_training.classifier.results import write_results
from cxr_training.classifier.samples import Samples, as_samples
from cxr_training.classifier.train import Given, cache_of, refuse_run_in, train_on
from cxr_training.core.config import read_config
from cxr_training.data.cache import canonical_images
from cxr_training.data.own import OwnData
from cxr_training.data.splits import Split
from cxr_training.export.publishing import write_manifest
from cxr_training.importing.calibrate import Calibrated, CalibrationError, Site, site_triage
from cxr_training.kit.request import Request, prepare, source_of
from cxr_training.monitoring.drift import write_site_reference
from cxr_training.report.tables import format_interval

RECIPE = Path(__file__).with_name("classifier.yaml")
_KIND: Final = "classifier"


def train_classifier(request: Request) -> Path:
    """Make the classifier of a request; its model folder.

    Its run directory has `examples.png`, `curves.png`, `metrics.jsonl`, and the figures of
    validation and test patients with their ROC curves.

    Raises:
        UserError: as `prepare`, and what training, evaluation and publishing raise.
    """
    own = prepare(request, _KIND)
    config, folder = _config(request, own), request.run(_KIND)
    refuse_run_in(folder, config, resume=request.resume)
    samples = as_samples(own.collection)
    images = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    train_on(config, Given(samples, images, (source_of(own),)), folder, resume=request.resume)
    manifest = evaluate_on(config, samples, folder)
    extra = manifest.extra | {"own_data": {"csv": own.csv.name, "images": len(samples)}}
    manifest = manifest.model_copy(update={"extra": extra})
    write_manifest(manifest, folder / MODEL)
    for split in (Split.VALIDATION, Split.TEST):
        if len(samples.rows(split)):
            manifest = _measured(folder, samples, split)
    target = publish(folder, request.models, folder, replace=request.replace)
    _write_reference(request, own, target)
    _fit_triage(request, own, target)
    return target


def _config(request: Request, own: OwnData) -> ClassifierConfig:
    name, version, epochs = request.recipe(own)
    start = "null" if request.start is None else json.dumps({"model": str(request.start)})
    labels = json.dumps([label.value for label in own.collection.labels])
    told = (name, version, f"training.{epochs}", f"start={start}", f"labels={labels}")
    return read_config(ClassifierConfig, RECIPE, (*told, *request.overrides))


def _measured(folder: Path, samples: Samples, split: Split) -> ModelManifest:
    """Measure the run's model on a split and write tables, plots and the manifest; prints means."""
    model = open_model_folder(folder / MODEL, _KIND)
    patients = model.manifest.data.split_sha256
    rules = rules_of(model.manifest, split, patients)
    predictions = predict(model, samples, split, rules.coarse_px)
    decisions = shipped_decisions(predictions, model.manifest.labels)
    rows = metric_rows(predictions, decisions, rules.evaluation, rules.seed)
    evaluated = ModelEvaluation(
        model.manifest, split, "--data $DATA", patients, rules, predictions, decisions, rows
    )
    write_results(evaluated, folder / split.value)
    if split is Split.VALIDATION:
        # Its manifest has them cross-fitted: nothing is measured on what it was fitted to.
        rows, manifest = model.manifest.metrics, model.manifest
    else:
        manifest = with_test_figures(evaluated)
        write_manifest(manifest, folder / MODEL)
    for row in rows:
        if (row.name, row.subset) == ("auroc_mean", "all"):
            print(f"mean AUROC {format_interval(row.result)} on {row.n} {split} images")
    return manifest


def _write_reference(request: Request, own: OwnData, model: Path) -> None:
    """What drift is measured against; says what the OOD detector refuses."""
    images, split = own.of(Split.VALIDATION), (Split.VALIDATION.value, own.split_sha256)
    command = "cxr train classifier"
    for line in write_site_reference(images, split, model, request.models, command=command):
        print(line)


def _fit_triage(request: Request, own: OwnData, model: Path) -> None:
    """Fit triage where the labels allow it, or say why evidence levels decide."""
    by_levels = "Triage: by evidence levels"
    missing = set(Finding) - set(own.collection.labels)
    if missing:
        print(f"{by_levels}, for scores are fitted to all fourteen findings ({len(missing)} lack).")
        return
    detector = request.models / "detector"
    if not detector.is_dir():
        print(f"{by_levels}, for there is no detector in {detector}.")
        return
    manifest = open_model_folder(model, _KIND).manifest
    images = tuple(own.of(Split.VALIDATION))
    site = Site(own.csv, images, own.split_sha256, own.collection.labels)
    predictions = predict(open_model_folder(model, _KIND), site.samples(), Split.VALIDATION, 64)
    try:
        triage = site_triage(site, model, Calibrated(manifest, manifest, predictions), detector)
    except CalibrationError as error:
        print(f"{by_levels}, for {error}.")
        return
    folder = request.models / "triage" / triage.name
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(triage, folder)
    print(f"Triage: {folder} ({triage.fit.form}).")
