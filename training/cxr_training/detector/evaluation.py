"""The figures of a detector, with intervals over resampled patients.

What is published, what `verify` holds it to and what training validates by each epoch are all
computed here, on `cxr_training.metrics.detection`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import MetricRow, Region
from cxr_training.data.annotations import AnnotatedImage
from cxr_training.detector.detections import known_only
from cxr_training.metrics.bootstrap import interval_or_none, with_resamples
from cxr_training.metrics.detection import (
    IOU_THRESHOLDS,
    FloatArray,
    Matches,
    at_thresholds,
    average_precision,
    froc_sensitivity,
    mean_average_precision,
    mean_of_defined,
)
from cxr_training.metrics.rows import metric_row
from cxr_training.metrics.thresholds import Threshold, detector_thresholds

FALSE_BOXES_PER_IMAGE = (0.25, 0.5, 1.0)
RESAMPLES = 1000
SEED = 20
AT_50, AT_50_TO_95 = (0,), tuple(range(len(IOU_THRESHOLDS)))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one detector."""

    metrics: list[MetricRow]
    thresholds: list[Threshold]


class Sample:
    """Evaluated images and their resamples by patient; makes the rows of their figures."""

    def __init__(self, images: Sequence[AnnotatedImage], resamples: int = RESAMPLES) -> None:
        self.images = images
        self.weights = with_resamples([image.patient for image in images], resamples, SEED)
        self._split = images[0].split.value

    def row(
        self, name: str, subset: str, draws: FloatArray, *, boxes: int, n: int | None = None
    ) -> list[MetricRow]:
        """One row of `draws` [1 + resamples], or none where the figure is not defined.

        Args:
            name: of the figure.
            subset: what it is of.
            draws: the figure of the images, then of their resamples.
            boxes: true boxes behind it.
            n: images behind it, where not all are.
        """
        n = len(self.images) if n is None else n
        interval = interval_or_none(draws)
        return metric_row(name, subset, interval, n=n, n_positive=boxes, split=self._split)


def evaluate(
    matches: Matches,
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    *,
    thresholds: list[Threshold] | None = None,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """All figures of a manifest.

    Args:
        matches: of everything that was found on `images`.
        images: validation or test radiographs.
        regions: the vocabulary.
        thresholds: one for each class; None to choose them on `images`.
        resamples: of the patients.
    """
    sample = Sample(images, resamples)
    known = known_only(matches, images, regions)
    if thresholds is None:
        thresholds = detector_thresholds(known, len(regions))
    boxes = int(matches.truth.sum())
    rows = _class_rows(matches, sample, regions)
    known_map = mean_average_precision(known, sample.weights, AT_50)
    rows += sample.row("map50_known", "all", known_map, boxes=int(known.truth.sum()))
    for rate in FALSE_BOXES_PER_IMAGE:
        sensitivity = froc_sensitivity(matches, sample.weights, rate)
        rows += sample.row(f"froc_{rate:g}", "all", sensitivity, boxes=boxes)
    limits = np.array([threshold.score for threshold in thresholds])
    for name, draws in at_thresholds(matches, limits, sample.weights).items():
        rows += sample.row(name, "all", draws, boxes=boxes)
    rows += _subset_rows(matches, sample)
    return Evaluation(rows, thresholds)


def region_froc_rows(
    matches: Matches, regions: Sequence[Region], sample: Sample
) -> list[MetricRow]:
    """Of each region, the share that is found at so many false boxes of it an image."""
    rows: list[MetricRow] = []
    for label, region in enumerate(regions):
        truth = matches.truth * (np.arange(len(regions)) == label)
        alone = matches.keep(matches.label == label, truth)
        for rate in FALSE_BOXES_PER_IMAGE:
            draws = froc_sensitivity(alone, sample.weights, rate)
            rows += sample.row(f"froc_{rate:g}", region.value, draws, boxes=int(truth.sum()))
    return rows


def _class_rows(matches: Matches, sample: Sample, regions: Sequence[Region]) -> list[MetricRow]:
    rows: list[MetricRow] = []
    per_class: dict[str, list[FloatArray]] = {"50": [], "50_95": []}
    for label, region in enumerate(regions):
        boxes = int(matches.truth[:, label].sum())
        for name, ious in (("50", AT_50), ("50_95", AT_50_TO_95)):
            draws = average_precision(matches, label, sample.weights, ious)
            per_class[name].append(draws)
            rows += sample.row(f"ap{name}", region.value, draws, boxes=boxes)
    boxes = int(matches.truth.sum())
    means = [
        row
        for name, draws in per_class.items()
        for row in sample.row(f"map{name}", "all", mean_of_defined(draws), boxes=boxes)
    ]
    return means + rows


def _subset_rows(matches: Matches, sample: Sample) -> list[MetricRow]:
    """mAP50 by the size of the file and by who annotated it."""
    rows: list[MetricRow] = []
    for key, values in (
        ("side_px", np.array([image.side_px for image in sample.images])),
        ("annotator", np.array([image.source for image in sample.images])),
    ):
        for value in np.unique(values):
            inside = values == value
            truth = matches.truth * inside[:, np.newaxis]
            part = matches.keep(inside[matches.image], truth)
            draws = mean_average_precision(part, sample.weights, AT_50)
            boxes, n = int(truth.sum()), int(inside.sum())
            rows += sample.row("map50", f"{key}={value}", draws, boxes=boxes, n=n)
    return rows
