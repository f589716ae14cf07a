"""From both readers' answers to the forms' figures and the winner's manifest."""

from dataclasses import dataclass

import numpy as np

from cxr_contracts import (
    LOWEST_MIN_SCORE,
    JoiningData,
    JoiningFit,
    JoiningManifest,
    MetricRow,
    ModelIdentity,
    ModelManifest,
    RegionJoining,
)
from cxr_training.core.runs import command_line, current_commit, portable_command, utc_now
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import REGIONS
from cxr_training.detector.evaluation import RESAMPLES
from cxr_training.detector.scoring import FloatArray
from cxr_training.detector.thresholds import Threshold, joined_thresholds
from cxr_training.export.publishing import LICENCE
from cxr_training.joining.answers import REGION_FINDINGS, Answers
from cxr_training.joining.forms import FORMS, Constants
from cxr_training.joining.headroom import perfect_opinion, reached
from cxr_training.joining.judging import (
    BASELINE,
    FOLDS,
    MAP50,
    Figures,
    choose,
    figures,
    held_out,
    resampled,
)
from cxr_training.joining.operating import (
    Operation,
    lowest_useful,
    operation,
)
from cxr_training.metrics.bootstrap import interval_of
from cxr_training.metrics.rows import metric_row

ALL, ANNOTATED = "all films", "annotated films"
PERFECT, REACHED = "perfect opinion", "reached"
OWN_THRESHOLDS, JOINED_THRESHOLDS = "detector's own thresholds", "joined thresholds"
_MIN_SCORE_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Fitted:
    """Every form's figures, and what is to be shipped."""

    rule_form: str
    """The form that the rule takes; `detector` where no joining is worth it."""
    form: str
    """The form that is to be shipped: the same, or the one that was asked for."""
    constants: Constants
    """The form's, fitted to all patients."""
    thresholds: list[Threshold]
    min_score: float
    metrics: list[MetricRow]


def fit(
    answers: Answers,
    n_annotated: int,
    detector: ModelManifest,
    *,
    form: str | None = None,
    resamples: int = RESAMPLES,
) -> Fitted:
    """Compare the forms, choose, and fit what is chosen to all patients.

    Args:
        answers: the annotated radiographs first, then those without a finding.
        n_annotated: how many of them are annotated.
        detector: whose operating thresholds are the ones to compare with.
        form: which one to ship whatever the rule takes; None to follow the rule.
        resamples: of the patients.
    """
    annotated = np.arange(len(answers.patients)) < n_annotated
    held = {name: held_out(one, answers) for name, one in FORMS.items()}
    weights = {
        ALL: resampled(answers, np.ones_like(annotated), resamples),
        ANNOTATED: resampled(answers, annotated, resamples),
    }
    judged = {
        films: {name: figures(answers, one, weight) for name, one in held.items()}
        for films, weight in weights.items()
    }
    rule_form = choose(judged[ALL])
    form = form or rule_form
    constants = FORMS[form](answers)
    matches = answers.matches(held[form].scores, known_only=True)
    thresholds = joined_thresholds(matches, len(REGIONS))
    metrics: list[MetricRow] = []
    for films, forms in judged.items():
        metrics += _rows(films, forms, weights[films], answers)
    metrics += _class_rows(judged[ALL], (BASELINE, form), answers)
    metrics += _headroom_rows(answers, weights)
    shown = {OWN_THRESHOLDS: (answers.score, _own_thresholds(detector))}
    if form != BASELINE:
        shown[JOINED_THRESHOLDS] = (held[form].scores, thresholds)
    metrics += _operating_rows(answers, shown, weights[ALL])
    lowest = lowest_useful(answers, constants.scores(answers), thresholds)
    min_score = _min_score(lowest, detector)
    return Fitted(rule_form, form, constants, thresholds, min_score, metrics)


def manifest_of(
    fitted: Fitted,
    answers: Answers,
    identities: tuple[ModelIdentity, ModelIdentity],
    detector: ModelManifest,
    split_sha256: str,
) -> JoiningManifest:
    """What the gateway reads."""
    classifier, found_by = identities
    drawn = np.where(answers.known, answers.truth, 0).sum(axis=0)
    return JoiningManifest(
        schema_version=1,
        role="joining",
        name=f"{classifier.name}--{found_by.name}",
        created_at=utc_now(),
        licence=LICENCE,
        classifier=classifier,
        detector=found_by,
        min_score=fitted.min_score,
        max_boxes=int(detector.extra["max_boxes"]),
        regions=[
            RegionJoining(
                region=region,
                finding=REGION_FINDINGS[label],
                score_weight=round(float(fitted.constants.score_weight[label]), 6),
                probability_weight=round(float(fitted.constants.probability_weight[label]), 6),
                intercept=round(float(fitted.constants.intercept[label]), 6),
                threshold=fitted.thresholds[label].score,
                threshold_rule=fitted.thresholds[label].rule,
                n_boxes=int(drawn[label]),
            )
            for label, region in enumerate(REGIONS)
        ],
        data=JoiningData(
            split=Split.VALIDATION.value,
            split_sha256=split_sha256,
            n_images=len(answers.patients),
            n_patients=len(np.unique(answers.patients)),
            n_boxes=int(drawn.sum()),
        ),
        fit=JoiningFit(
            command=portable_command(command_line()),
            commit=current_commit(),
            form=fitted.form,
            rule_form=fitted.rule_form,
            folds=FOLDS,
        ),
        metrics=fitted.metrics,
    )


def _min_score(lowest: float, detector: ModelManifest) -> float:
    """Rounded down, and not above what the detector shows by itself."""
    lowest = min(lowest, *(label.threshold for label in detector.labels))
    step = 10**-_MIN_SCORE_DIGITS
    return max(LOWEST_MIN_SCORE, round(float(lowest // step * step), _MIN_SCORE_DIGITS))


def _own_thresholds(detector: ModelManifest) -> list[Threshold]:
    by_name = {label.name: label for label in detector.labels}
    labels = [by_name[region.value] for region in REGIONS]
    return [Threshold(label.threshold, label.threshold_rule) for label in labels]


def _rows(
    films: str, forms: dict[str, Figures], weights: FloatArray, answers: Answers
) -> list[MetricRow]:
    """Each form's figures and what it gains over the detector alone."""
    inside = weights[0] > 0
    n, boxes = int(inside.sum()), int(answers.truth[inside].sum())
    rows: list[MetricRow] = []
    for form, judged in forms.items():
        for name, values in judged.named.items():
            gain = values - forms[BASELINE].named[name]
            for row, draws in ((name, values), (f"{name}_gain", gain)):
                interval = interval_of(float(draws[0]), draws[1:])
                rows += metric_row(row, f"{form}, {films}", interval, n=n, n_positive=boxes)
    return rows


def _headroom_rows(answers: Answers, weights: dict[str, FloatArray]) -> list[MetricRow]:
    """What a perfect opinion would make of the same boxes, and how many drawn ones they hit."""
    rows: list[MetricRow] = []
    for films, weight in weights.items():
        best = figures(answers, perfect_opinion(answers), weight)
        inside = weight[0] > 0
        drawn = np.where(answers.known, answers.truth, 0)[inside].sum(axis=0)
        shares = reached(answers, weight)
        for name, of, draws in (
            (MAP50, f"{PERFECT}, {films}", best.named[MAP50]),
            (REACHED, films, shares[-1]),
        ):
            interval = interval_of(float(draws[0]), draws[1:])
            rows += metric_row(name, of, interval, n=int(inside.sum()), n_positive=int(drawn.sum()))
        if films == ALL:
            rows += _class_rows({PERFECT: best}, (PERFECT,), answers)
            for label in np.flatnonzero(drawn):
                interval = interval_of(float(shares[label, 0]), shares[label, 1:])
                of, n = REGIONS[label].value, int(inside.sum())
                rows += metric_row(REACHED, of, interval, n=n, n_positive=int(drawn[label]))
    return rows


def _class_rows(
    forms: dict[str, Figures], named: tuple[str, ...], answers: Answers
) -> list[MetricRow]:
    drawn = np.where(answers.known, answers.truth, 0).sum(axis=0)
    rows: list[MetricRow] = []
    for form in dict.fromkeys(named):
        for label, region in enumerate(REGIONS):
            draws = forms[form].per_class[label]
            if np.isnan(draws[0]):
                continue
            rows += metric_row(
                "ap50_known",
                f"{form}, {region.value}",
                interval_of(float(draws[0]), draws[1:]),
                n=len(answers.patients),
                n_positive=int(drawn[label]),
            )
    return rows


def _operating_rows(
    answers: Answers, shown: dict[str, tuple[FloatArray, list[Threshold]]], weights: FloatArray
) -> list[MetricRow]:
    """What a reader of the boxes meets under each name: scores, and the thresholds for them."""
    operations: dict[str, Operation] = {
        name: operation(answers, scores, thresholds, weights)
        for name, (scores, thresholds) in shown.items()
    }
    n, boxes = len(answers.patients), int(answers.truth.sum())
    return [
        row
        for subset, found in operations.items()
        for name, draws in found.named.items()
        if not np.isnan(draws[0])
        for row in metric_row(
            name, subset, interval_of(float(draws[0]), draws[1:]), n=n, n_positive=boxes
        )
    ]


def value_of(metrics: list[MetricRow], name: str, subset: str) -> MetricRow:
    """The row of a figure; KeyError if there is none."""
    for row in metrics:
        if (row.name, row.subset) == (name, subset):
            return row
    raise KeyError(f"no figure {name} of {subset}")
