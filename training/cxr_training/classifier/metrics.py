"""The figures of a classifier: `MetricRow`s with intervals over patients."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_contracts import MetricRow
from cxr_training.classifier.calibration import Decisions
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.predictions import Predictions, Subset, is_subgroup, subsets
from cxr_training.metrics.bootstrap import (
    FloatArray,
    interval_or_none,
    mean_of_defined,
    ratio,
    with_resamples,
)
from cxr_training.metrics.classification import (
    aurocs,
    brier_skills,
    calibration_slopes,
    expected_calibration_errors,
)
from cxr_training.report.tables import metric_row

# By column. The first line is the sample itself, the others its resamples: [1 + resamples] each.
Draws = Mapping[int, FloatArray]


def metric_rows(
    predictions: Predictions, decisions: Decisions, config: Evaluation, seed: int
) -> list[MetricRow]:
    """Every figure of a split's images; `for_manifest` says which the manifest carries.

    A mean is over the labels with enough positives in the subset. A `_gap` is that mean less the
    mean of the same labels over all images, over the same resamples: labels differ in difficulty,
    so the means of two subgroups over different labels cannot be compared.
    """
    lines = with_resamples(predictions.patients.tolist(), config.resamples, seed)
    figures = _Figures(predictions, decisions, config, lines)
    whole, *parts = subsets(predictions)
    every = range(len(predictions.labels))
    areas, rates = figures.areas(whole, every), figures.rates(whole, every)
    rows = figures.auroc_rows(whole, areas, {})
    for part in parts:
        rows += figures.auroc_rows(part, figures.areas(part, figures.common(part)), areas)
    rows += figures.shortcut_rows()
    rows += figures.calibration_rows()
    rows += figures.threshold_rows()
    rows += figures.false_call_rows()
    rows += figures.rate_rows(whole, rates, rates)
    for part in parts:
        if part.is_subgroup:
            rows += figures.rate_rows(part, figures.rates(part, figures.common(part)), rates)
            rows += figures.subgroup_rows(part)
    return rows


def for_manifest(rows: list[MetricRow]) -> list[MetricRow]:
    """What the manifest carries: of subgroups the means, the gaps and the labels' sensitivity.

    The rest, most of all rows, stands in the results folder.
    """
    return [
        row
        for row in rows
        if row.name not in ("auroc", "specificity")
        or "/" not in row.subset
        or not is_subgroup(row.subset)
    ]


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of one evaluation; `lines` are the weights of the images, [1 + resamples, N]."""

    predictions: Predictions
    decisions: Decisions
    config: Evaluation
    lines: FloatArray

    def common(self, subset: Subset) -> list[int]:
        """The columns with enough positives and a negative in the subset."""
        targets = self.predictions.targets[subset.inside]
        positives = targets.sum(axis=0)
        enough = (positives >= self.config.min_positives) & (positives < len(targets))
        return [int(column) for column in np.flatnonzero(enough)]

    def areas(self, subset: Subset, columns: Iterable[int]) -> Draws:
        """The AUROC of each column that has one."""
        logits = self.predictions.coarse_logits if subset.coarse else self.predictions.logits
        # Resamples of all patients, read off inside the subset.
        lines, targets = self.lines[:, subset.inside], self.predictions.targets[subset.inside]
        draws = {
            column: aurocs(targets[:, column], logits[subset.inside, column], lines)
            for column in columns
        }
        return _defined(draws)

    def rates(self, subset: Subset, columns: Iterable[int]) -> dict[str, Draws]:
        """Sensitivity and specificity of each column within a subset."""
        targets = self.predictions.targets[subset.inside]
        positive = self.decisions.positive[subset.inside]
        lines = self.lines[:, subset.inside]
        found: dict[str, dict[int, FloatArray]] = {"sensitivity": {}, "specificity": {}}
        for column in columns:
            ill, called = targets[:, column], positive[:, column]
            found["sensitivity"][column] = _ratio(called * ill, ill, lines)
            found["specificity"][column] = _ratio(~called * (1 - ill), 1 - ill, lines)
        return {name: _defined(draws) for name, draws in found.items()}

    def auroc_rows(self, subset: Subset, areas: Draws, everywhere: Draws) -> list[MetricRow]:
        """AUROC per label, its mean, and in a subgroup the gap to the same labels `everywhere`.

        Over all images labels with too few positives are kept for the record, and make the mean
        only where no label has enough.
        """
        enough = [column for column in self.common(subset) if column in areas]
        rows = self._mean("auroc_mean", subset, [areas[column] for column in enough or areas])
        if subset.is_subgroup:
            rows += self._gap("auroc_gap", subset, areas, everywhere)
        return rows + self._of_labels("auroc", subset, areas)

    def rate_rows(
        self, subset: Subset, rates: Mapping[str, Draws], everywhere: Mapping[str, Draws]
    ) -> list[MetricRow]:
        """Sensitivity and specificity of each label, their means, in a subgroup their gaps."""
        rows = [
            row for name, draws in rates.items() for row in self._of_labels(name, subset, draws)
        ]
        for name, draws in rates.items():
            enough = {column: draws[column] for column in self.common(subset)}
            rows += self._mean(f"{name}_mean", subset, list(enough.values()))
            if subset.is_subgroup:
                rows += self._gap(f"{name}_gap", subset, enough, everywhere[name])
        return rows

    def shortcut_rows(self) -> list[MetricRow]:
        """How well a label's score tells large images from the others where there is no finding.

        0.5 is what a network should reach that looks at the chest alone; a label whose score tells
        the source of a healthy image has learned the source.
        """
        healthy = self.predictions.targets.sum(axis=1) == 0
        large = self.predictions.sources[healthy] == "large"
        rows: list[MetricRow] = []
        for column, label in enumerate(self.predictions.labels):
            draws = aurocs(large, self.predictions.logits[healthy, column], self.lines[:, healthy])
            rows += self._row("source_auroc", label, draws, len(large), int(large.sum()))
        return rows

    def calibration_rows(self) -> list[MetricRow]:
        """Prevalence of each label, how well it is calibrated, and the means of the latter.

        The calibration error (ECE) flatters rare labels; the Brier skill says what a probability
        is worth beside the prevalence alone, the slope whether it is too extreme (below 1).
        """
        n, rows = len(self.predictions), []
        whole = Subset("", np.ones(n, dtype=bool))
        figures = {
            "ece": expected_calibration_errors,
            "brier_skill": brier_skills,
            "calibration_slope": calibration_slopes,
        }
        draws: dict[str, dict[int, FloatArray]] = {name: {} for name in figures}
        for column, label in enumerate(self.predictions.labels):
            targets = self.predictions.targets[:, column]
            probabilities = self.decisions.probabilities[:, column]
            n_positive = int(targets.sum())
            prevalence = _ratio(targets, np.ones(n), self.lines)
            rows += self._row("prevalence", label, prevalence, n, n_positive)
            for name, figure in figures.items():
                draws[name][column] = figure(targets, probabilities, self.lines)
                rows += self._row(name, label, draws[name][column], n, n_positive)
        # A label with hardly a positive has hardly an error, and would flatter the mean.
        enough = self.common(whole)
        means: list[MetricRow] = []
        for name, of_label in draws.items():
            chosen = _defined({column: of_label[column] for column in enough or of_label})
            means += self._mean(f"{name}_mean", whole, list(chosen.values()))
        return means + rows

    def threshold_rows(self) -> list[MetricRow]:
        """From where on each label is possible; a bare figure, nothing of it is estimated here."""
        rows: list[MetricRow] = []
        for column, (label, spec) in enumerate(
            zip(self.predictions.labels, self.decisions.labels, strict=True)
        ):
            targets = self.predictions.targets[:, column]
            threshold = np.full(1, spec.threshold)
            rows += self._row("threshold", label, threshold, len(targets), int(targets.sum()))
        return rows

    def false_call_rows(self) -> list[MetricRow]:
        """How many findings are likely, and how many possible, on an image that has none."""
        levels = [label.levels for label in self.decisions.labels if label.levels is not None]
        if len(levels) < len(self.predictions.labels):
            return []
        normal = self.predictions.targets.sum(axis=1) == 0
        probabilities, lines = self.decisions.probabilities[normal], self.lines[:, normal]
        likely = probabilities >= np.array([one.likely.threshold for one in levels])
        possible = probabilities >= np.array([one.possible.threshold for one in levels])
        n, rows = int(normal.sum()), []
        for name, called in (("likely", likely), ("possible", possible & ~likely)):
            counts = called.sum(axis=1)
            mean = _ratio(counts.astype(np.float64), np.ones(n), lines)
            rows += self._row(f"{name}_per_normal", "all", mean, n, None)
            median = _medians(counts, lines)
            rows += self._row(f"{name}_per_normal_median", "all", median, n, None)
        return rows

    def subgroup_rows(self, part: Subset) -> list[MetricRow]:
        """How many images have a finding, and of all that is marked in the subgroup what is found.

        The latter counts findings rather than labels, so that it exists where no label has enough.
        """
        targets = self.predictions.targets[part.inside]
        lines, n, n_marked = self.lines[:, part.inside], len(targets), int(targets.sum())
        ill = targets.sum(axis=1) > 0
        share = _ratio(ill.astype(np.float64), np.ones(n), lines)
        rows = self._row("any_finding", part.name, share, n, int(ill.sum()))
        if n_marked >= self.config.min_positives:
            called = (self.decisions.positive[part.inside] * targets).sum(axis=1)
            found = _ratio(called, targets.sum(axis=1), lines)
            rows += self._row("sensitivity_pooled", part.name, found, n, n_marked)
        return rows

    def _of_labels(self, name: str, subset: Subset, draws: Draws) -> list[MetricRow]:
        positives = self.predictions.targets[subset.inside].sum(axis=0).astype(int)
        n = int(subset.inside.sum())
        return [
            row
            for column, of_label in draws.items()
            for row in self._row(
                name,
                subset.label(self.predictions.labels[column].value),
                of_label,
                n,
                int(positives[column]),
            )
        ]

    def _mean(self, name: str, subset: Subset, draws: list[FloatArray]) -> list[MetricRow]:
        """The mean over labels of those that are defined in a resample."""
        if not draws:
            return []
        n = int(subset.inside.sum())
        return self._row(name, subset.name or "all", mean_of_defined(draws), n, None)

    def _gap(self, name: str, subset: Subset, inside: Draws, everywhere: Draws) -> list[MetricRow]:
        gaps = [draws - everywhere[column] for column, draws in inside.items()]
        return self._mean(name, subset, gaps)

    def _row(
        self, name: str, subset: str, draws: FloatArray, n: int, n_positive: int | None
    ) -> list[MetricRow]:
        """Of a figure of the sample and then of its resamples; none where it is not defined."""
        result, split = interval_or_none(draws), self.predictions.split.value
        return metric_row(name, subset, result, n=n, n_positive=n_positive, split=split)


def _medians(counts: NDArray[np.intp], lines: FloatArray) -> FloatArray:
    """The median count of each line, [images] and [lines, images] to [lines]; NaN of no image.

    An image counts as often as its line says. Of two middle counts it is the mean.
    """
    order = np.argsort(counts, kind="stable")
    up_to = np.cumsum(lines[:, order], axis=1)
    if not up_to.shape[1]:
        return np.full(len(lines), np.nan)
    half, ordered = up_to[:, -1:] / 2, counts[order].astype(np.float64)
    lower, upper = (up_to < half).sum(axis=1), (up_to <= half).sum(axis=1)
    last = len(ordered) - 1
    medians = (ordered[np.minimum(lower, last)] + ordered[np.minimum(upper, last)]) / 2
    return np.where(half[:, 0] > 0, medians, np.nan)


def _defined(draws: Draws) -> Draws:
    return {column: values for column, values in draws.items() if not np.isnan(values[0])}


def _ratio(numerator: FloatArray, denominator: FloatArray, lines: FloatArray) -> FloatArray:
    """Weighted sum over weighted sum for each line; NaN without a denominator."""
    return ratio(lines @ numerator, lines @ denominator)
