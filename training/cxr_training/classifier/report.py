"""The figures of a classifier: `MetricRow`s with intervals over patients."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import Interval, MetricRow
from cxr_training.classifier.calibration import cross_fitted, patient_folds
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.samples import LABELS
from cxr_training.evaluation.bootstrap import FloatArray, Weights, interval_of, patient_weights
from cxr_training.evaluation.metrics import aurocs, expected_calibration_error
from cxr_training.publishing import metric_row

SOURCES = ("large", "medium", "small")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network said of the validation images.

    `logits` and `coarse_logits` are float64 [N, 14]; the latter are of the same images brought
    down to `coarse_px` a side first. `targets` is float64 [N, 14].
    """

    logits: FloatArray
    coarse_logits: FloatArray
    coarse_px: int
    targets: FloatArray
    patients: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class _Subset:
    """Some of the images, and the logits by which they are judged; `name` is empty for all."""

    name: str
    inside: npt.NDArray[np.bool_]
    logits: FloatArray


def metric_rows(answers: Answers, config: Evaluation, seed: int) -> list[MetricRow]:
    """Every figure that the manifest carries."""
    weights = patient_weights(answers.patients.tolist(), config.resamples, seed)
    everything = np.ones(len(answers.targets), dtype=bool)
    subsets = [_Subset("", everything, answers.logits)]
    for source in SOURCES:
        inside = answers.sources == source
        if inside.any():
            subsets.append(_Subset(f"source={source}", inside, answers.logits))
    coarse = f"coarsened={answers.coarse_px}px"
    subsets.append(_Subset(coarse, everything, answers.coarse_logits))
    rows = [row for subset in subsets for row in _auroc_rows(answers, subset, weights, config)]
    rows += _shortcut_rows(answers, weights)
    return rows + _calibrated_rows(answers, config, weights, seed)


def _auroc_rows(
    answers: Answers, subset: _Subset, weights: Weights, config: Evaluation
) -> list[MetricRow]:
    """AUROC per label, and its mean over the labels with enough positives in the subset.

    Labels with too few are left out of a part of the images; over all images they are kept for
    the record, and make the mean only where no label has enough.
    """
    rows: list[MetricRow] = []
    judged: list[FloatArray] = []
    unsure: list[FloatArray] = []
    n = int(subset.inside.sum())
    # Resamples of all patients, read off inside the subset; the first line is the sample itself.
    lines = np.concatenate([np.ones((1, n), dtype=np.int64), weights[:, subset.inside]])
    for column, label in enumerate(LABELS):
        targets = answers.targets[subset.inside, column]
        n_positive = int(targets.sum())
        enough = n_positive >= config.min_positives
        if subset.name and not enough:
            continue
        areas = aurocs(targets, subset.logits[subset.inside, column], lines)
        if not np.isnan(areas[0]):
            name = f"{label}/{subset.name}" if subset.name else label.value
            result = interval_of(float(areas[0]), areas[1:])
            rows += metric_row("auroc", name, result, n=n, n_positive=n_positive)
            (judged if enough else unsure).append(areas)
    if judged or unsure:
        mean = _mean_of_defined(np.array(judged or unsure))
        result = interval_of(float(mean[0]), mean[1:])
        rows = [
            *metric_row("auroc_mean", subset.name or "all", result, n=n, n_positive=None),
            *rows,
        ]
    return rows


def _shortcut_rows(answers: Answers, weights: Weights) -> list[MetricRow]:
    """How well a label's score tells large images from the others where there is no finding.

    0.5 is what a network should reach that looks at the chest alone; a label whose score tells
    the source of a healthy image has learned the source.
    """
    healthy = answers.targets.sum(axis=1) == 0
    large = answers.sources[healthy] == "large"
    lines = np.concatenate([np.ones((1, len(large)), dtype=np.int64), weights[:, healthy]])
    rows: list[MetricRow] = []
    for column, label in enumerate(LABELS):
        areas = aurocs(large, answers.logits[healthy, column], lines)
        if not np.isnan(areas[0]):
            result = interval_of(float(areas[0]), areas[1:])
            rows += metric_row(
                "source_auroc", label, result, n=len(large), n_positive=int(large.sum())
            )
    return rows


def _mean_of_defined(draws: FloatArray) -> FloatArray:
    defined = ~np.isnan(draws)
    total = np.where(defined, draws, 0.0).sum(axis=0)
    mean: FloatArray = total / np.maximum(defined.sum(axis=0), 1)
    return mean


def _calibrated_rows(
    answers: Answers, config: Evaluation, weights: Weights, seed: int
) -> list[MetricRow]:
    """Prevalence, and, cross-fitted over patients, calibration error and operating point."""
    rows: list[MetricRow] = []
    fold = patient_folds(answers.patients.tolist(), config.calibration_folds, seed)
    for column, label in enumerate(LABELS):
        targets = answers.targets[:, column]
        probabilities, positive = cross_fitted(
            targets, answers.logits[:, column], fold, config.min_positives
        )
        found: dict[str, Interval | None] = {
            "prevalence": _ratio(targets, np.ones(targets.shape), weights),
            "ece": _ece(targets, probabilities, weights),
            "sensitivity": _ratio(positive * targets, targets, weights),
            "specificity": _ratio(~positive * (1 - targets), 1 - targets, weights),
        }
        for name, result in found.items():
            rows += metric_row(name, label, result, n=len(targets), n_positive=int(targets.sum()))
    return rows


def _ratio(numerator: FloatArray, denominator: FloatArray, weights: Weights) -> Interval | None:
    """Weighted sum over weighted sum; None without a denominator."""
    if denominator.sum() == 0:
        return None
    below = weights @ denominator
    draws = np.divide(weights @ numerator, below, out=np.full(below.shape, np.nan), where=below > 0)
    return interval_of(float(numerator.sum() / denominator.sum()), draws)


def _ece(targets: FloatArray, probabilities: FloatArray, weights: Weights) -> Interval:
    value = expected_calibration_error(targets, probabilities)
    draws = [expected_calibration_error(targets, probabilities, line) for line in weights]
    return interval_of(value, np.array(draws))
