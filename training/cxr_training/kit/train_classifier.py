"""A classifier of labels of one's own: trained, calibrated, measured, published."""

import json
from pathlib import Path
from typing import Final

from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.config import ClassifierConfig
from cxr_training.classifier.evaluation import evaluate_samples, rules_of, with_test_figures
from cxr_training.classifier.publish import MODEL, evaluate_on, publish
from cxr_training.classifier.results import write_results
from cxr_training.classifier.samples import Samples, as_samples
from cxr_training.classifier.train import Given, cache_of, refuse_run_in, train_on
from cxr_training.core.config import read_config
from cxr_training.data.cache import canonical_images
from cxr_training.data.own import OwnData
from cxr_training.data.splits import Split
from cxr_training.export.publishing import read_manifest, write_manifest
from cxr_training.importing.calibrate import Site, triage_of
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
    cached = canonical_images(samples.paths, config.canonical_px, cache_of(folder))
    train_on(config, Given(samples, cached, (source_of(own),)), folder, resume=request.resume)
    manifest = evaluate_on(config, samples, folder)
    extra = manifest.extra | {"own_data": {"csv": own.csv.name, "images": len(samples)}}
    manifest = manifest.model_copy(update={"extra": extra})
    write_manifest(manifest, folder / MODEL)
    for split in (Split.VALIDATION, Split.TEST):
        if len(samples.rows(split)):
            _measure(folder, samples, split)
    target = publish(folder, request.models, folder, replace=request.replace)
    images, patients = tuple(own.of(Split.VALIDATION)), (Split.VALIDATION.value, own.split_sha256)
    command = "cxr train classifier"
    for line in write_site_reference(images, patients, target, request.models, command=command):
        print(line)
    site = Site(own.csv, images, own.split_sha256, own.collection.labels)
    triage = triage_of(site, target, read_manifest(target), request.models / "detector")
    if triage is not None:
        write_manifest(triage, request.models / "triage" / triage.name)
    return target


def _config(request: Request, own: OwnData) -> ClassifierConfig:
    name, version, epochs = request.recipe(own)
    start = "null" if request.start is None else json.dumps({"model": str(request.start)})
    labels = json.dumps([label.value for label in own.collection.labels])
    told = (name, version, f"training.{epochs}", f"start={start}", f"labels={labels}")
    return read_config(ClassifierConfig, RECIPE, (*told, *request.overrides))


def _measure(folder: Path, samples: Samples, split: Split) -> None:
    """Measure the run's model on a split and write tables, plots and the manifest; prints means."""
    model = open_model_folder(folder / MODEL, _KIND)
    rules = rules_of(model.manifest, split, model.manifest.data.split_sha256)
    evaluated = evaluate_samples(model, samples, split, rules)
    write_results(evaluated, folder / split.value)
    if split is Split.TEST:
        write_manifest(with_test_figures(evaluated), folder / MODEL)
    for row in evaluated.rows:
        if (row.name, row.subset) == ("auroc_mean", "all"):
            print(f"mean AUROC {format_interval(row.result)} on {row.n} {split} images")
