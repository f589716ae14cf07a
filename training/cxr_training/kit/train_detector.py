"""A detector of boxes of one's own: trained, measured, calibrated, published."""

import json
import os
from pathlib import Path
from typing import Final

from cxr_contracts import ModelManifest
from cxr_serving.model_folder import open_model_folder
from cxr_training.core.cpu import keep_freed_memory, usable_cores
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, write_json
from cxr_training.data.annotations import Annotations
from cxr_training.data.own import OwnData, OwnDataError
from cxr_training.data.splits import Split
from cxr_training.detector.calibration import fit
from cxr_training.detector.card import render_card
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.detections import PreparedImages, match_all
from cxr_training.detector.evaluation import evaluate
from cxr_training.detector.publish import evaluate_run, network_of, publish_run
from cxr_training.detector.run import RUN_FILE, STATE, read_run, resume, run_weights, train
from cxr_training.detector.start import Start
from cxr_training.export.publishing import CARD_NAME, write_manifest
from cxr_training.kit.request import Request, prepare, source_of
from cxr_training.metrics.detection import Threshold
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
        if int(_epochs_done(out)) < config.epochs:
            resume(config, data, out, own=annotations)
    else:
        start, commit = _start(request), current_commit()
        train(config, data, start, out, command=command_line(), commit=commit, own=annotations)
    write_json(out / RUN_FILE, read_run(out) | {"sources": [source_of(own)]})
    evaluation = evaluate_run(config, data, out, own=annotations)
    manifest = publish_run(config, out, request.models / _KIND, out, replace=request.replace)
    target = request.models / _KIND / request.name
    manifest = _completed(config, annotations, out, manifest)
    write_manifest(manifest, target)
    (target / CARD_NAME).write_text(render_card(manifest))
    for row in (*evaluation.metrics, *manifest.metrics[len(evaluation.metrics) :]):
        if (row.name, row.subset) == ("map50", "all"):
            print(f"mAP50 {format_interval(row.result)} on {row.n} {row.split} images")
    return target


def _config(request: Request, own: OwnData) -> DetectorConfig:
    regions = json.dumps([region.value for region in own.regions])
    told = (f"data.regions={regions}", f"threads={usable_cores()}")
    return DetectorConfig.read(RECIPE, (*request.recipe(own), *told, *request.overrides))


def _epochs_done(out: Path) -> int:
    from cxr_training.core.checkpoints import read_checkpoint

    return int(read_checkpoint(out / STATE)["progress"]["epochs"])


def _start(request: Request) -> Start | None:
    if request.start is None:
        return None
    published = open_model_folder(request.start, _KIND)
    published.weights()
    identity = published.identity
    source = f"the published detector {identity.name} {identity.version}"
    return Start(request.start / published.manifest.weights.path, source)


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
    labels = manifest.labels
    try:
        calibration = fit(matches[Split.VALIDATION])
    except PublishError as error:
        print(f"Its scores stay as they are, for {error}.")
    else:
        labels = [
            label.model_copy(
                update={
                    "slope": round(calibration.slope, 4),
                    "intercept": round(float(intercept), 4),
                }
            )
            for label, intercept in zip(labels, calibration.intercepts, strict=True)
        ]
    metrics = list(manifest.metrics)
    if any(image.boxes for image in annotations.of(Split.TEST)):
        thresholds = [Threshold(score=x.threshold, rule=x.threshold_rule) for x in labels]
        images = annotations.of(Split.TEST)
        metrics += evaluate(
            matches[Split.TEST], images, config.regions, thresholds=thresholds
        ).metrics
    return manifest.model_copy(update={"labels": labels, "metrics": metrics})
