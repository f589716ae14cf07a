"""A detector of boxes of one's own: trained, measured, calibrated, published."""

import json
import os
from pathlib import Path
from typing import Final

from cxr_contracts import ModelManifest
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.cpu import keep_freed_memory, usable_cores
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, write_json
from cxr_training.data.annotations import Annotations
from cxr_training.data.own import OwnData, OwnDataError
from cxr_training.data.splits import Split
from cxr_training.detector.calibration import fit
from cxr_training.detector.card import render_card
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.evaluation import PreparedImages, evaluate, match_all
from cxr_training.detector.publish import evaluate_run, network_of, publish_run
from cxr_training.detector.run import RUN_FILE, STATE, read_run, resume, run_weights, train
from cxr_training.detector.start import published_start
from cxr_training.export.publishing import write_manifest
from cxr_training.kit.request import Request, prepare, source_of
from cxr_training.metrics.detection import shipped_thresholds
from cxr_training.report.tables import format_interval

RECIPE = Path(__file__).with_name("detector.yaml")
_KIND: Final = "detector"


def train_detector(request: Request) -> Path:
    """Make the detector of a request; its model folder.

    Raises:
        UserError: as `prepare`, and what training, evaluation and publishing raise.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    own = prepare(request, _KIND)
    if request.layout.boxes is None or not own.regions:
        raise OwnDataError([f"{own.csv}: no box: name a file with --boxes (COCO's .json, or .csv)"])
    annotations, out = own.annotations(), request.run(_KIND)
    config = _config(request, own)
    keep_freed_memory()
    data = own.csv.parent
    if request.resume and (out / STATE).exists():
        if read_checkpoint(out / STATE)["progress"]["epochs"] < config.epochs:
            resume(config, data, out, own=annotations)
    else:
        start, commit = None, current_commit()
        if request.start is not None:
            start = published_start(request.start)
        train(config, data, start, out, command=command_line(), commit=commit, own=annotations)
    write_json(out / RUN_FILE, read_run(out) | {"sources": [source_of(own)]})
    evaluation = evaluate_run(config, data, out, own=annotations)
    manifest = publish_run(config, out, request.models / _KIND, out, replace=request.replace)
    target = request.models / _KIND / request.name
    manifest = _completed(config, annotations, out, manifest)
    write_manifest(manifest, target, render_card(manifest))
    for row in (*evaluation.metrics, *manifest.metrics[len(evaluation.metrics) :]):
        if (row.name, row.subset) == ("map50", "all"):
            print(f"mAP50 {format_interval(row.result)} on {row.n} {row.split} images")
    return target


def _config(request: Request, own: OwnData) -> DetectorConfig:
    regions = json.dumps([region.value for region in own.regions])
    told = (f"data.regions={regions}", f"threads={usable_cores()}")
    return DetectorConfig.read(RECIPE, (*request.recipe(own), *told, *request.overrides))


def _completed(
    config: DetectorConfig, annotations: Annotations, out: Path, manifest: ModelManifest
) -> ModelManifest:
    """The manifest with what scores mean on validation patients, and the test patients' figures."""
    network, spec = network_of(config, run_weights(out)), config.input_spec
    matches = {}
    for split in (Split.VALIDATION, Split.TEST):
        images = annotations.of(split)
        if images:
            found = PreparedImages(images, spec).detect(network, config.nms_iou)
            matches[split] = match_all(found, images, config.regions)
    labels, metrics = manifest.labels, manifest.metrics
    try:
        labels = fit(matches[Split.VALIDATION]).labels(manifest)
    except PublishError as error:
        print(f"Its scores stay as they are, for {error}.")
    if any(image.boxes for image in annotations.of(Split.TEST)):
        images, thresholds = annotations.of(Split.TEST), shipped_thresholds(labels)
        tested = evaluate(matches[Split.TEST], images, config.regions, thresholds=thresholds)
        metrics = [*metrics, *tested.metrics]
    return manifest.model_copy(update={"labels": labels, "metrics": metrics})
