"""What an 8-bit file loses against the float32 file, on the same radiographs: its gate."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from cxr_classifier.calibration import Calibration
from cxr_classifier.predictor import ClassifierPredictor
from cxr_contracts import Finding, MetricRow
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.samples import LABELS, as_samples, read_samples
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import NIH_FOLDER, Split
from cxr_training.data.test_set import read_test_set
from cxr_training.detector.evaluation import AT_50, Sample, detect_with, match_all, only_of
from cxr_training.detector.published import members_of, own_annotations, regions_of_manifest
from cxr_training.metrics.bootstrap import (
    FloatArray,
    interval_or_none,
    mean_of_defined,
    with_resamples,
)
from cxr_training.metrics.classification import aurocs
from cxr_training.metrics.detection import mean_average_precision
from cxr_training.report.tables import metric_row

RESAMPLES, SEED = 200, 22
# Means count findings with at least so many positives.
_MIN_POSITIVES = {Split.VALIDATION: 10, Split.TEST: 20}


Load = Callable[[ModelFolder], OnnxRuntime]


def losses(folder: ModelFolder, quantised: Load, data: Path, split: Split) -> list[MetricRow]:
    """The paired loss of the model's figure, and the figure of the 8-bit file, as rows.

    Mean AUROC of a classifier, mAP50 of a detector; above 0 the 8-bit file is the worse one. Of a
    classifier also how many of its evidence levels are others.

    Args:
        folder: the published model.
        quantised: loads its 8-bit file, or that of each member of a fused detector.
        data: the folder that holds nih/ and the like.
        split: validation or test.

    Raises:
        DataError: the data is not as published, or an image cannot be decoded.
        PublishError: the manifest does not say on whose boxes it was evaluated.
    """
    loads = (float32, quantised)
    if folder.manifest.role == "classifier":
        return _auroc_losses(folder, [load(folder) for load in loads], data, split)
    regions = regions_of_manifest(folder.manifest)
    # What is fused is evaluated as its members are.
    own = own_annotations(members_of(folder)[0].manifest, data, split)
    images = only_of(own.of(split), regions)
    sample, draws = Sample(images, RESAMPLES), []
    for load in loads:
        found = detect_with(folder, images, load)
        matches = match_all([found[image.name] for image in images], images, regions)
        draws.append(mean_average_precision(matches, sample.weights, AT_50))
    boxes = int(matches.truth.sum())
    return [
        *sample.row("map50_loss", "all", draws[0] - draws[1], boxes=boxes),
        *sample.row("map50", "all", draws[1], boxes=boxes),
    ]


def float32(folder: ModelFolder) -> OnnxRuntime:
    """The published file of one network, on one thread."""
    return OnnxRuntime(folder.onnx(), threads=1)


def _auroc_losses(
    folder: ModelFolder, runtimes: Sequence[OnnxRuntime], data: Path, split: Split
) -> list[MetricRow]:
    samples = (
        as_samples(read_test_set(data).collection)
        if split is Split.TEST
        else read_samples(data / NIH_FOLDER)
    )
    rows = samples.rows(split)
    predictors = [ClassifierPredictor(folder.manifest, runtime) for runtime in runtimes]
    columns = [predictors[0].calibration.findings.index(label) for label in LABELS]
    logits = np.empty((len(runtimes), len(rows), len(Finding)))
    for number, row in enumerate(tqdm(rows, desc=folder.manifest.name, mininterval=5)):
        decoded = DecodedImage(decode_grey(samples.paths[row]), "png")
        prepared = predictors[0].prepare(decoded)
        for one, predictor in enumerate(predictors):
            [output] = predictor.predict([prepared])
            logits[one, number] = output.logits[columns]
    targets = samples.targets[rows]
    weights = with_resamples(samples.patients[rows].tolist(), RESAMPLES, SEED)
    counted = [
        column
        for column in range(len(LABELS))
        if _MIN_POSITIVES[split] <= targets[:, column].sum() < len(rows)
    ]
    # Of all findings of all images, the share at another evidence level.
    first, second = (_levels(predictors[0].calibration, one, columns) for one in logits)
    changes = weights @ (first != second).mean(axis=1) / weights.sum(axis=1)
    plain, ours = (
        mean_of_defined([aurocs(targets[:, c], one[:, c], weights) for c in counted])
        for one in logits
    )
    return [
        row
        for name, draws in (
            ("auroc_loss", plain - ours),
            ("auroc", ours),
            ("level_changes", changes),
        )
        for row in metric_row(
            name,
            f"mean of {len(counted)} findings",
            interval_or_none(draws),
            n=len(rows),
            n_positive=None,
            split=split.value,
        )
    ]


def _levels(
    calibration: Calibration, logits: FloatArray, columns: list[int]
) -> npt.NDArray[np.intp]:
    """[N, 14]: 0 unlikely, 1 possible, 2 likely, in the order of `LABELS`."""
    thresholds = np.array(calibration.level_thresholds)[columns]
    own = np.empty_like(logits)
    own[:, columns] = logits
    probabilities = np.stack([calibration.probabilities(row) for row in own])[:, columns]
    levels: npt.NDArray[np.intp] = (probabilities[..., np.newaxis] >= thresholds).sum(axis=2)
    return levels
