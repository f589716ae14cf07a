"""What a trained detector finds on validation patients, with intervals.

Everything goes the way of serving: the detector's own preprocessing, network and postprocessing,
with a score threshold so low that the whole precision-recall curve is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from cxr_contracts import Interval, MetricRow, Region
from cxr_detector.postprocessing import Detections, postprocess
from cxr_detector.preprocessing import preprocess
from cxr_training.detector.annotations import AnnotatedImage
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.dataset import image_boxes, read_grey
from cxr_training.detector.scoring import (
    IOU_THRESHOLDS,
    BoolArray,
    FloatArray,
    Matches,
    at_thresholds,
    average_precision,
    froc_sensitivity,
    match,
)
from cxr_training.detector.thresholds import Threshold, own_thresholds
from cxr_training.metrics.bootstrap import interval_of, patient_weights
from cxr_training.metrics.rows import metric_row

# Ultralytics' own values for validation.
LOWEST_SCORE = 0.001
MOST_BOXES = 300
FALSE_BOXES_PER_IMAGE = (0.25, 0.5, 1.0)
RESAMPLES = 1000
SEED = 20
_ALL_IOUS = tuple(range(len(IOU_THRESHOLDS)))


@dataclass(frozen=True, slots=True)
class Found:
    """All boxes found on one radiograph, in its pixels."""

    detections: Detections
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one set of weights."""

    metrics: list[MetricRow]
    thresholds: list[Threshold]


def evaluate(
    network: nn.Module,
    config: DetectorConfig,
    images: Sequence[AnnotatedImage],
    *,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Judge `network` (decoding, in evaluation mode) on `images`."""
    matches = collect_matches(network, config, images)
    return evaluation_of(matches, images, config.regions, resamples=resamples)


def evaluation_of(
    matches: Matches,
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    *,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """The figures of what was found on `images`, with thresholds chosen on them."""
    known = known_only(matches, images, regions)
    thresholds = own_thresholds(known, len(regions))
    metrics = measure(matches, known, images, regions, thresholds, resamples=resamples)
    return Evaluation(metrics, thresholds)


def collect_matches(
    network: nn.Module, config: DetectorConfig, images: Sequence[AnnotatedImage]
) -> Matches:
    """Run `network` over `images` and match what it finds to their boxes."""
    found = []
    for image in images:
        grey = read_grey(image.path)
        height, width = grey.shape
        found.append(Found(detect(network, config, grey), width, height))
    return match_all(found, images, config.regions)


def match_all(
    found: Sequence[Found], images: Sequence[AnnotatedImage], regions: Sequence[Region]
) -> Matches:
    """What was `found` on each of `images`, held against its boxes; labels index `regions`."""
    hits = []
    truth = np.zeros((len(images), len(regions)), dtype=np.int64)
    for index, (image, one) in enumerate(zip(images, found, strict=True)):
        truth_labels = np.array([regions.index(box.region) for box in image.boxes], dtype=np.intp)
        np.add.at(truth[index], truth_labels, 1)
        boxes = image_boxes(image, one.width, one.height)
        hits.append(match(one.detections.boxes, one.detections.labels, boxes, truth_labels))
    index_of = np.repeat(np.arange(len(images)), [len(one.detections.scores) for one in found])
    scores = np.concatenate([one.detections.scores for one in found]).astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    return Matches(
        image=index_of[order],
        label=np.concatenate([one.detections.labels for one in found])[order],
        score=scores[order],
        hit=np.concatenate(hits)[order],
        truth=truth,
    )


def detect(network: nn.Module, config: DetectorConfig, grey: npt.NDArray[np.uint8]) -> Detections:
    """All boxes of one image down to the lowest score, in its pixels."""
    tensor, placement = preprocess(grey, config.input_spec(), config.resize)
    with torch.no_grad():
        predictions = network(torch.from_numpy(tensor)[None])[0].numpy()
    return postprocess(
        predictions,
        placement,
        np.full(len(config.regions), LOWEST_SCORE, dtype=np.float32),
        nms_iou=config.nms_iou,
        max_boxes=MOST_BOXES,
    )


def known_only(
    matches: Matches, images: Sequence[AnnotatedImage], regions: Sequence[Region]
) -> Matches:
    """Without detections of classes that nobody looked for on their image."""
    known = np.array([[region not in image.unknown for region in regions] for image in images])
    kept = known[matches.image, matches.label]
    return matches.keep(kept, np.where(known, matches.truth, 0))


def measure(
    matches: Matches,
    known: Matches,
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    thresholds: list[Threshold],
    *,
    resamples: int = RESAMPLES,
) -> list[MetricRow]:
    """All figures of the manifest.

    Args:
        matches: of everything that was found.
        known: of what was found and can be judged (`known_only`).
        images: what was judged.
        regions: the vocabulary.
        thresholds: one for each class.
        resamples: of the patients.
    """
    weights = resampled(images, resamples)
    rows = _class_rows(matches, weights, len(images), regions)
    boxes = int(matches.truth.sum())
    known_map = mean_over_classes(known, weights, (0,))
    rows += metric_row(
        "map50_known",
        "all",
        interval_or_none(known_map),
        n=len(images),
        n_positive=int(known.truth.sum()),
    )
    for false_boxes in FALSE_BOXES_PER_IMAGE:
        sensitivity = froc_sensitivity(matches, weights, false_boxes)
        rows += metric_row(
            f"froc_{false_boxes:g}",
            "all",
            interval_or_none(sensitivity),
            n=len(images),
            n_positive=boxes,
        )
    rows += _operating_rows(matches, thresholds, weights, len(images))
    for subset, inside in _subsets(images):
        rows += _subset_rows(subset, inside, matches, weights)
    return rows


def _class_rows(
    matches: Matches, weights: FloatArray, n_images: int, regions: Sequence[Region]
) -> list[MetricRow]:
    rows: list[MetricRow] = []
    per_class: dict[str, list[FloatArray]] = {"50": [], "50_95": []}
    for label, region in enumerate(regions):
        boxes = int(matches.truth[:, label].sum())
        for name, ious in (("50", (0,)), ("50_95", _ALL_IOUS)):
            values = average_precision(matches, label, weights, ious)
            per_class[name].append(values)
            rows += metric_row(
                f"ap{name}", region.value, interval_or_none(values), n=n_images, n_positive=boxes
            )
    means = [
        metric_row(
            f"map{name}",
            "all",
            interval_or_none(_nan_mean(values)),
            n=n_images,
            n_positive=int(matches.truth.sum()),
        )
        for name, values in per_class.items()
    ]
    return [row for mean in means for row in mean] + rows


def _operating_rows(
    matches: Matches, thresholds: list[Threshold], weights: FloatArray, n_images: int
) -> list[MetricRow]:
    boxes = int(matches.truth.sum())
    limits = np.array([threshold.score for threshold in thresholds])
    return [
        row
        for name, values in at_thresholds(matches, limits, weights).items()
        for row in metric_row(name, "all", interval_or_none(values), n=n_images, n_positive=boxes)
    ]


def _subset_rows(
    subset: str, inside: BoolArray, matches: Matches, weights: FloatArray
) -> list[MetricRow]:
    truth = matches.truth * inside[:, np.newaxis]
    part = matches.keep(inside[matches.image], truth)
    return metric_row(
        "map50",
        subset,
        interval_or_none(mean_over_classes(part, weights, (0,))),
        n=int(inside.sum()),
        n_positive=int(truth.sum()),
    )


def _subsets(images: Sequence[AnnotatedImage]) -> list[tuple[str, BoolArray]]:
    sides = np.array([image.side_px for image in images])
    sources = np.array([image.source for image in images])
    by_side = [(f"side_px={side}", sides == side) for side in np.unique(sides)]
    by_source = [(f"annotator={source}", sources == source) for source in np.unique(sources)]
    return [*by_side, *by_source]


def resampled(images: Sequence[AnnotatedImage], resamples: int = RESAMPLES) -> FloatArray:
    """Weights [1 + resamples, images]: the sample itself, then its resamples by patient."""
    drawn = patient_weights([image.patient for image in images], resamples, SEED)
    return np.concatenate([np.ones((1, len(images))), drawn]).astype(np.float64)


def mean_over_classes(
    matches: Matches, weights: FloatArray, ious: tuple[int, ...] = (0,)
) -> FloatArray:
    """mAP, the mean over the classes that have a box: [resamples]."""
    n_classes = matches.truth.shape[1]
    return _nan_mean(
        [average_precision(matches, label, weights, ious) for label in range(n_classes)]
    )


def _nan_mean(per_class: list[FloatArray]) -> FloatArray:
    # A class without a box in a resample says nothing there; the mean is over the others.
    values = np.array(per_class)
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    mean: FloatArray = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def interval_or_none(values: FloatArray) -> Interval | None:
    """The first value is that of the sample itself, the others those of its resamples."""
    return None if np.isnan(values[0]) else interval_of(float(values[0]), values[1:])
