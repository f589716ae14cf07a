"""The figures of a detector, with intervals over resampled patients.

What is published, what `verify` holds it to and what training validates by each epoch are all
computed here, on `cxr_training.metrics.detection`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import BaseModel

from cxr_contracts import MetricRow, ModelManifest, Region
from cxr_training.data.annotations import AnnotatedImage
from cxr_training.detector.detections import known_only
from cxr_training.metrics.bootstrap import interval_or_none, mean_of_defined, with_resamples
from cxr_training.metrics.detection import (
    IOU_THRESHOLDS,
    FloatArray,
    Matches,
    Threshold,
    at_thresholds,
    average_precision,
    detector_thresholds,
    froc_sensitivity,
    mean_average_precision,
)
from cxr_training.report.tables import metric_row

FALSE_BOXES_PER_IMAGE = (0.25, 0.5, 1.0)
RESAMPLES = 1000
# Fewer say too little of a kind to count in a mean.
FREQUENT_BOXES = 20
SEED = 20
AT_50, AT_50_TO_95 = (0,), tuple(range(len(IOU_THRESHOLDS)))
# Of the figures that `cxr_training.detector.calibration` makes: names, and a subset.
CALIBRATION_NAMES = ("box_log_loss", "box_calibration_error", "boxes_right", "mean_probability")
IN_USE = "with ordinary images"


class Evaluation(BaseModel):
    """The figures of one detector."""

    metrics: list[MetricRow]
    thresholds: list[Threshold]


def is_calibrated(manifest: ModelManifest) -> bool:
    """Whether the scores of a detector say how likely a box is right."""
    return any((label.slope, label.intercept) != (1.0, 0.0) for label in manifest.labels)


def is_of_calibration(row: MetricRow) -> bool:
    """Whether a figure is one of calibration, measured with ordinary radiographs."""
    return row.name in CALIBRATION_NAMES or row.subset == IN_USE


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
    parts: dict[str, Sequence[object]] = {
        "side_px": [image.side_px for image in images],
        "annotator": [image.source for image in images],
    }
    rows += subset_rows(matches, sample, parts)
    return Evaluation(metrics=rows, thresholds=thresholds)


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
    n_boxes = matches.truth.sum(axis=0)
    frequent = [per_class["50"][label] for label in np.flatnonzero(n_boxes >= FREQUENT_BOXES)]
    if frequent:
        counted = int(n_boxes[n_boxes >= FREQUENT_BOXES].sum())
        means += sample.row("map50_frequent", "all", mean_of_defined(frequent), boxes=counted)
    return means + rows


def subset_rows(
    matches: Matches, sample: Sample, kinds: Mapping[str, Sequence[object]]
) -> list[MetricRow]:
    """mAP50 of parts of the images: for each kind, e.g. `view`, of each value, given by image."""
    rows: list[MetricRow] = []
    for kind, of_image in kinds.items():
        values = np.array(of_image)
        for value in np.unique(values):
            inside = values == value
            truth = matches.truth * inside[:, np.newaxis]
            part = matches.keep(inside[matches.image], truth)
            draws = mean_average_precision(part, sample.weights, AT_50)
            boxes, n = int(truth.sum()), int(inside.sum())
            rows += sample.row("map50", f"{kind}={value}", draws, boxes=boxes, n=n)
    return rows
