"""How good rescored boxes are on patients whom the constants have not seen, and whether to ship."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import MetricRow, ModelManifest
from cxr_training.data.annotations import REGIONS
from cxr_training.data.splits import Split
from cxr_training.detector.evaluation import AT_50, FALSE_BOXES_PER_IMAGE, RESAMPLES, SEED
from cxr_training.metrics.bootstrap import interval_or_none, with_resamples
from cxr_training.metrics.detection import (
    FloatArray,
    at_thresholds,
    average_precision,
    froc_sensitivity,
    mean_of_defined,
)
from cxr_training.metrics.rows import metric_row
from cxr_training.metrics.thresholds import Threshold
from cxr_training.rescoring.fit import FIT_MIN_SCORE, Scored
from cxr_training.rescoring.predictions import Predictions

BASELINE, LIFTED = "detector", "lifted"
FORMS = (BASELINE, LIFTED)
MAP50, LOG_LOSS = "map50_known", "log_loss"
FROCS = tuple(f"froc_{rate:g}_known" for rate in FALSE_BOXES_PER_IMAGE)
ALL, ANNOTATED = "all images", "annotated images"
DETECTOR_THRESHOLDS, RESCORED_THRESHOLDS = "detector's thresholds", "rescored thresholds"
# Resamples at once: of tens of thousands of boxes, more would need gigabytes.
_CHUNK = 25


@dataclass(frozen=True, slots=True)
class Figures:
    """One way of scoring on one set of radiographs; each array is the figure and its resamples."""

    per_class: FloatArray
    """[regions, 1 + resamples], the average precision at IoU 0.5; NaN without a box."""
    named: Mapping[str, FloatArray]
    """`MAP50`, `FROCS` and `LOG_LOSS`, each [1 + resamples]."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The detector alone and its rescored boxes, on one set of patients."""

    figures: Mapping[str, Mapping[str, Figures]]
    """By `ALL` or `ANNOTATED`, then by form."""
    metrics: list[MetricRow]


def compare(
    predictions: Predictions,
    scored: Mapping[str, Scored],
    thresholds: Mapping[str, Sequence[Threshold]],
    *,
    split: Split = Split.VALIDATION,
    resamples: int = RESAMPLES,
) -> Comparison:
    """All figures of both forms.

    Args:
        predictions: on all radiographs.
        scored: by form.
        thresholds: of each region, by form.
        split: whose patients.
        resamples: of the patients.
    """
    drawn = with_resamples(predictions.patients.tolist(), resamples, SEED)
    weights = {ALL: drawn, ANNOTATED: drawn * predictions.annotated}
    evaluated = {
        images: {form: figures(predictions, one, weight) for form, one in scored.items()}
        for images, weight in weights.items()
    }
    rows: list[MetricRow] = []

    def add(name: str, subset: str, draws: FloatArray, n: int, boxes: int) -> None:
        interval = interval_or_none(draws)
        rows.extend(metric_row(name, subset, interval, n=n, n_positive=boxes, split=split.value))

    for images, forms in evaluated.items():
        inside = weights[images][0] > 0
        n, boxes = int(inside.sum()), int(predictions.truth[inside].sum())
        for form, one in forms.items():
            for name, draws in one.named.items():
                add(name, f"{form}, {images}", draws, n, boxes)
                gain = draws - forms[BASELINE].named[name]
                add(f"{name}_gain", f"{form}, {images}", gain, n, boxes)
    n, of_region = len(predictions.patients), predictions.known_truth.sum(axis=0)
    for form, one in evaluated[ALL].items():
        for region, draws, boxes in zip(REGIONS, one.per_class, of_region, strict=True):
            add("ap50_known", f"{form}, {region.value}", draws, n, int(boxes))
    boxes = int(predictions.truth.sum())
    for form, subset in ((BASELINE, DETECTOR_THRESHOLDS), (LIFTED, RESCORED_THRESHOLDS)):
        operating = operating_figures(predictions, scored[form].scores, thresholds[form], drawn)
        for name, draws in operating.items():
            add(name, subset, draws, n, boxes)
    return Comparison(evaluated, rows)


def figures(predictions: Predictions, scored: Scored, weights: FloatArray) -> Figures:
    """mAP50, FROC and log loss of one form.

    The log loss is the mean over the boxes that a fit looks at, in nats: how well the score says
    how likely it is that a box is right. Lower is better.

    Args:
        predictions: on all radiographs.
        scored: the form's scores.
        weights: [1 + resamples, n], the first all ones or zeros.
    """
    ranked, by_score = (predictions.matches(one) for one in (scored.ranking, scored.scores))
    parts = np.array_split(weights, range(_CHUNK, len(weights), _CHUNK))
    per_class = [
        np.concatenate([average_precision(ranked, label, part, AT_50) for part in parts])
        for label in range(len(REGIONS))
    ]
    named = {MAP50: mean_of_defined(per_class)}
    for name, rate in zip(FROCS, FALSE_BOXES_PER_IMAGE, strict=True):
        named[name] = froc_sensitivity(by_score, weights, rate)
    named[LOG_LOSS] = _log_loss(predictions, scored.scores, weights)
    return Figures(np.array(per_class), named)


def operating_figures(
    predictions: Predictions,
    scores: FloatArray,
    thresholds: Sequence[Threshold],
    weights: FloatArray,
) -> dict[str, FloatArray]:
    """Figures of the boxes above `thresholds`, each [1 + resamples].

    Those of `at_thresholds`, and `clear_images_marked`: the share of radiographs without a drawn
    box that show one.
    """
    limits = np.array([threshold.score for threshold in thresholds])
    named = at_thresholds(predictions.matches(scores), limits, weights)
    shown = predictions.image[(scores >= limits[predictions.label]) & predictions.is_known]
    marked = np.bincount(shown, minlength=len(predictions.patients)) > 0
    clear = predictions.truth.sum(axis=1) == 0
    total = weights @ clear
    named["clear_images_marked"] = np.divide(
        weights @ (clear & marked), total, out=np.full(len(total), np.nan), where=total > 0
    )
    return named


def is_worth_it(evaluated: Mapping[str, Figures]) -> bool:
    """Whether the rescored boxes are better than the detector's own.

    They must not find fewer boxes, by the mean sensitivity over the FROC's rates, nor rank them
    worse, by mAP50. And they must rank them better, or say better how likely a box is right (log
    loss). Better and worse: by more than a standard error of the paired difference over resampled
    patients (Breiman et al. 1984, section 3.4.3).
    """
    own, rescored = evaluated[BASELINE].named, evaluated[LIFTED].named
    froc = [np.mean([one[name] for name in FROCS], axis=0) for one in (rescored, own)]
    if _is_below(*froc) or _is_below(rescored[MAP50], own[MAP50]):
        return False
    # Where no box at all is right, how surely that is said proves nothing.
    surer = rescored[MAP50][0] > 0 and _is_below(rescored[LOG_LOSS], own[LOG_LOSS])
    return _is_below(own[MAP50], rescored[MAP50]) or bool(surer)


def manifest_thresholds(detector: ModelManifest) -> list[Threshold]:
    """The detector's own, in the order of `REGIONS`."""
    by_name = {label.name: label for label in detector.labels}
    labels = [by_name[region.value] for region in REGIONS]
    return [Threshold(label.threshold, label.threshold_rule) for label in labels]


def _log_loss(predictions: Predictions, scores: FloatArray, weights: FloatArray) -> FloatArray:
    chosen = predictions.is_known & (predictions.score >= FIT_MIN_SCORE)
    # The detector's own score may be 0 or 1.
    said = np.clip(scores[chosen], 1e-6, 1 - 1e-6)
    loss = -np.log(np.where(predictions.hit[chosen, 0], said, 1 - said))
    n, image = len(predictions.patients), predictions.image[chosen]
    total = weights @ np.bincount(image, loss, minlength=n)
    boxes = weights @ np.bincount(image, minlength=n)
    mean: FloatArray = np.divide(total, boxes, out=np.full(len(total), np.nan), where=boxes > 0)
    return mean


def _is_below(one: FloatArray, other: FloatArray) -> bool:
    """Whether a figure is lower than another by more than a standard error."""
    difference = one - other
    return bool(difference[0] < -float(np.nanstd(difference[1:])))
