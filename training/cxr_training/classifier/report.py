"""The figures of a classifier: `MetricRow`s with intervals over patients."""

from collections.abc import Mapping

import numpy as np

from cxr_contracts import Interval, MetricRow
from cxr_training.classifier.answers import Answers, BoolArray, Subset, is_subgroup, subsets
from cxr_training.classifier.calibration import Platt, threshold_draws
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.decisions import Decisions
from cxr_training.classifier.localisation.scoring import IOU, POINTING
from cxr_training.classifier.samples import LABELS
from cxr_training.classifier.tables import is_map_figure
from cxr_training.metrics.bootstrap import FloatArray, Weights, interval_of, patient_weights
from cxr_training.metrics.classification import aurocs, expected_calibration_errors
from cxr_training.metrics.rows import metric_row

# The first line is the sample itself, the others its resamples: [1 + resamples] for each column.
Draws = Mapping[int, FloatArray]


def metric_rows(
    answers: Answers, decisions: Decisions, config: Evaluation, seed: int
) -> list[MetricRow]:
    """Every figure of the validation images; `for_manifest` says which the manifest carries.

    A mean is over the labels with enough positives in the subset. A `_gap` is that mean less the
    mean of the same labels over all images, over the same resamples: labels differ in difficulty,
    so the means of two subgroups that judge different labels cannot be compared.
    """
    weights = patient_weights(answers.patients.tolist(), config.resamples, seed)
    lines = np.concatenate([np.ones((1, len(answers)), dtype=np.int64), weights])
    whole, *parts = subsets(answers)
    areas = _areas(answers, whole, lines, range(len(LABELS)))
    rates = _rates(answers, decisions, whole, lines, range(len(LABELS)))
    rows = _auroc_rows(answers, whole, areas, {}, config)
    for part in parts:
        judged = _judged(answers.targets[part.inside], config)
        rows += _auroc_rows(answers, part, _areas(answers, part, lines, judged), areas, config)
    rows += _shortcut_rows(answers, lines)
    rows += _calibration_rows(answers, decisions, lines, config)
    rows += _threshold_rows(answers, decisions, weights, config)
    rows += _rate_rows(answers, whole, rates)
    rows += _rate_means(answers, whole, rates, rates, config)
    for part in parts:
        if part.is_subgroup:
            judged = _judged(answers.targets[part.inside], config)
            inside = _rates(answers, decisions, part, lines, judged)
            rows += _rate_rows(answers, part, inside)
            rows += _rate_means(answers, part, inside, rates, config)
            rows += _subgroup_rows(answers, decisions, part, lines, config)
    return rows


def for_manifest(rows: list[MetricRow]) -> list[MetricRow]:
    """What the manifest carries: of subgroups the means, the gaps and the labels' sensitivity.

    Of the maps, pointing game and IoU of each finding beside the baselines. The rest, most of all
    rows, stands in the results folder.
    """
    return [row for row in rows if not _is_detail(row)]


def _is_detail(row: MetricRow) -> bool:
    if is_map_figure(row):
        parted = "/boxes=" in row.subset or "/called=" in row.subset
        return parted or row.name not in (POINTING, IOU)
    of_label = "/" in row.subset
    return of_label and is_subgroup(row.subset) and row.name in ("auroc", "specificity")


def _judged(targets: FloatArray, config: Evaluation) -> list[int]:
    """The columns with enough positives and a negative."""
    positives = targets.sum(axis=0)
    enough = (positives >= config.min_positives) & (positives < len(targets))
    return [int(column) for column in np.flatnonzero(enough)]


def _areas(answers: Answers, subset: Subset, lines: Weights, columns: range | list[int]) -> Draws:
    logits = answers.coarse_logits if subset.coarse else answers.logits
    # Resamples of all patients, read off inside the subset.
    inside = lines[:, subset.inside]
    areas = {
        column: aurocs(
            answers.targets[subset.inside, column], logits[subset.inside, column], inside
        )
        for column in columns
    }
    return {column: draws for column, draws in areas.items() if not np.isnan(draws[0])}


def _auroc_rows(
    answers: Answers, subset: Subset, areas: Draws, everywhere: Draws, config: Evaluation
) -> list[MetricRow]:
    """AUROC per label, its mean, and in a subgroup the gap to the same labels `everywhere`.

    Over all images labels with too few positives are kept for the record, and make the mean only
    where no label has enough.
    """
    n = int(subset.inside.sum())
    targets = answers.targets[subset.inside]
    enough = [column for column in _judged(targets, config) if column in areas]
    rows = _mean_row("auroc_mean", subset, [areas[column] for column in enough or areas], n)
    if subset.is_subgroup:
        rows += _gap_row("auroc_gap", subset, areas, everywhere, n)
    for column, draws in areas.items():
        name, n_positive = subset.label(LABELS[column].value), int(targets[:, column].sum())
        rows += metric_row("auroc", name, _interval(draws), n=n, n_positive=n_positive)
    return rows


def _mean_row(name: str, subset: Subset, draws: list[FloatArray], n: int) -> list[MetricRow]:
    if not draws:
        return []
    mean = _mean_of_defined(np.array(draws))
    return metric_row(name, subset.name or "all", _interval(mean), n=n, n_positive=None)


def _gap_row(
    name: str, subset: Subset, inside: Draws, everywhere: Draws, n: int
) -> list[MetricRow]:
    gaps = [draws - everywhere[column] for column, draws in inside.items()]
    return _mean_row(name, subset, gaps, n)


def _shortcut_rows(answers: Answers, lines: Weights) -> list[MetricRow]:
    """How well a label's score tells large images from the others where there is no finding.

    0.5 is what a network should reach that looks at the chest alone; a label whose score tells
    the source of a healthy image has learned the source.
    """
    healthy = answers.targets.sum(axis=1) == 0
    large = answers.sources[healthy] == "large"
    rows: list[MetricRow] = []
    for column, label in enumerate(LABELS):
        areas = aurocs(large, answers.logits[healthy, column], lines[:, healthy])
        if not np.isnan(areas[0]):
            n, n_large = len(large), int(large.sum())
            rows += metric_row("source_auroc", label, _interval(areas), n=n, n_positive=n_large)
    return rows


def _calibration_rows(
    answers: Answers, decisions: Decisions, lines: Weights, config: Evaluation
) -> list[MetricRow]:
    """Prevalence and calibration error of each label, and the mean of the latter."""
    n, rows = len(answers), []
    errors: dict[int, FloatArray] = {}
    for column, label in enumerate(LABELS):
        targets = answers.targets[:, column]
        probabilities = decisions.probabilities[:, column]
        errors[column] = expected_calibration_errors(targets, probabilities, lines)
        found = {"prevalence": _ratio(targets, np.ones(n), lines), "ece": errors[column]}
        for name, draws in found.items():
            n_positive = int(targets.sum())
            rows += metric_row(name, label, _interval(draws), n=n, n_positive=n_positive)
    # A label with hardly a positive has hardly an error, and would flatter the mean.
    enough = _judged(answers.targets, config) or list(errors)
    mean = np.mean([errors[column] for column in enough], axis=0)
    return [*metric_row("ece_mean", "all", _interval(mean), n=n, n_positive=None), *rows]


def _threshold_rows(
    answers: Answers, decisions: Decisions, weights: Weights, config: Evaluation
) -> list[MetricRow]:
    """The shipped thresholds.

    Where they were chosen on these images, with the interval of the choice over resampled
    patients, the calibration held fast; a threshold from elsewhere is a bare figure.
    """
    rows: list[MetricRow] = []
    for column, (label, spec) in enumerate(zip(LABELS, decisions.labels, strict=True)):
        targets = answers.targets[:, column]
        result: Interval | float = spec.threshold
        if decisions.fitted:
            platt = Platt(spec.slope, spec.intercept)
            probabilities = platt.probability(answers.logits[:, column])
            stated = config.stated_sensitivity(label)
            draws = threshold_draws(targets, probabilities, weights, spec.threshold_rule, stated)
            result = interval_of(spec.threshold, draws)
        n, n_positive = len(answers), int(targets.sum())
        rows += metric_row("threshold", label, result, n=n, n_positive=n_positive)
    return rows


def _rates(
    answers: Answers,
    decisions: Decisions,
    subset: Subset,
    lines: Weights,
    columns: range | list[int],
) -> dict[str, Draws]:
    """Sensitivity and specificity of each column within a subset."""
    targets = answers.targets[subset.inside]
    positive = decisions.positive[subset.inside]
    inside = lines[:, subset.inside].astype(np.float64)
    found: dict[str, dict[int, FloatArray]] = {"sensitivity": {}, "specificity": {}}
    for column in columns:
        ill, called = targets[:, column], positive[:, column]
        found["sensitivity"][column] = _ratio(called * ill, ill, inside)
        found["specificity"][column] = _ratio(~called * (1 - ill), 1 - ill, inside)
    return {
        name: {column: draws for column, draws in rates.items() if not np.isnan(draws[0])}
        for name, rates in found.items()
    }


def _rate_rows(answers: Answers, subset: Subset, rates: Mapping[str, Draws]) -> list[MetricRow]:
    positives = answers.targets[subset.inside].sum(axis=0).astype(int)
    n, rows = int(subset.inside.sum()), []
    for name, of_labels in rates.items():
        for column, draws in of_labels.items():
            label, n_positive = subset.label(LABELS[column].value), int(positives[column])
            rows += metric_row(name, label, _interval(draws), n=n, n_positive=n_positive)
    return rows


def _rate_means(
    answers: Answers,
    subset: Subset,
    rates: Mapping[str, Draws],
    everywhere: Mapping[str, Draws],
    config: Evaluation,
) -> list[MetricRow]:
    n, rows = int(subset.inside.sum()), []
    judged = _judged(answers.targets[subset.inside], config)
    for name, of_labels in rates.items():
        enough = {column: of_labels[column] for column in judged}
        rows += _mean_row(f"{name}_mean", subset, list(enough.values()), n)
        if subset.is_subgroup:
            rows += _gap_row(f"{name}_gap", subset, enough, everywhere[name], n)
    return rows


def _subgroup_rows(
    answers: Answers, decisions: Decisions, part: Subset, lines: Weights, config: Evaluation
) -> list[MetricRow]:
    """How many images have a finding, and of all that is marked in the subgroup what is found.

    The latter counts findings rather than labels, so that it exists where no label has enough.
    """
    targets = answers.targets[part.inside]
    inside, n, n_marked = lines[:, part.inside], len(targets), int(targets.sum())
    ill: BoolArray = targets.sum(axis=1) > 0
    share = _interval(_ratio(ill.astype(np.float64), np.ones(n), inside))
    rows = metric_row("any_finding", part.name, share, n=n, n_positive=int(ill.sum()))
    if n_marked >= config.min_positives:
        called = (decisions.positive[part.inside] * targets).sum(axis=1)
        found = _interval(_ratio(called, targets.sum(axis=1), inside))
        rows += metric_row("sensitivity_pooled", part.name, found, n=n, n_positive=n_marked)
    return rows


def _ratio(
    numerator: FloatArray, denominator: FloatArray, lines: Weights | FloatArray
) -> FloatArray:
    """Weighted sum over weighted sum for each line; NaN without a denominator."""
    below = lines @ denominator
    undefined: FloatArray = np.full(below.shape, np.nan)
    return np.divide(lines @ numerator, below, out=undefined, where=below > 0)


def _mean_of_defined(draws: FloatArray) -> FloatArray:
    """The mean over labels [L, B] of those that are defined in a resample."""
    defined = ~np.isnan(draws)
    total = np.where(defined, draws, 0.0).sum(axis=0)
    mean: FloatArray = total / np.maximum(defined.sum(axis=0), 1)
    return mean


def _interval(draws: FloatArray) -> Interval | None:
    """Of a figure of the sample and then of its resamples; None where the first is not defined."""
    return None if np.isnan(draws[0]) else interval_of(float(draws[0]), draws[1:])
