"""The figures of all cases as `MetricRow`s, with intervals over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import Finding, MetricRow
from cxr_training.classifier.localisation.boxes import Annotator, Case
from cxr_training.classifier.localisation.fitting import Fitted
from cxr_training.classifier.localisation.maps import Maps, box_mask
from cxr_training.classifier.localisation.scoring import (
    FIGURES,
    IOU,
    POINTING,
    FloatArray,
    Pointer,
    score_case,
)
from cxr_training.metrics.bootstrap import interval_of, patient_weights, share_interval
from cxr_training.metrics.rows import metric_row

# A finding with fewer cases has no rows of its own and no part in `macro`.
MIN_IMAGES = 10
ALL, MACRO = "all", "macro"
CALLED, MISSED = "called=positive", "called=missed"
RESAMPLES, SEED = 1000, 1
_POINTERS = tuple(Pointer)


@dataclass(frozen=True, slots=True)
class Scores:
    """The cases of one view of the boxes; `values` is float64 [N, 4, 5] (`score_case`)."""

    findings: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    called: npt.NDArray[np.bool_]
    n_boxes: npt.NDArray[np.int64]
    values: FloatArray


@dataclass(frozen=True, slots=True)
class _Group:
    """Some cases; `draws` is [1 + resamples, 4, 5], first of the sample itself."""

    name: str
    inside: npt.NDArray[np.bool_]
    draws: FloatArray


def localisation_rows(
    maps: Maps,
    cases: Sequence[Case],
    fitted: Fitted,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[MetricRow]:
    """Every figure of `cases`; the package says how the rows are named.

    Args:
        maps: of the cases' radiographs.
        cases: of validation patients.
        fitted: to training patients' cases and the same network's maps.
        resamples: of the patients.
        seed: of the resampling.

    Raises:
        ValueError: a case without a map.
    """
    rows: list[MetricRow] = []
    for annotator in (None, *Annotator):
        drawn = [case for case in cases if case.boxes_of(annotator)]
        if drawn:
            scores = score_cases(maps, drawn, fitted, annotator)
            rows += _rows(scores, annotator, resamples, seed)
    return rows


def score_cases(
    maps: Maps, cases: Sequence[Case], fitted: Fitted, annotator: Annotator | None
) -> Scores:
    """The figures of each case by one annotator's boxes, or by both's for None."""
    places = maps.places(cases)
    return Scores(
        findings=np.array([case.finding.value for case in cases]),
        patients=np.array([case.patient for case in cases]),
        called=np.array([maps.called[place] for place in places]),
        n_boxes=np.array([len(case.boxes_of(annotator)) for case in cases]),
        values=np.array(
            [
                score_case(
                    maps.cams[place], fitted.of(case.finding), box_mask(case.boxes_of(annotator))
                )
                for case, place in zip(cases, places, strict=True)
            ]
        ),
    )


def _rows(
    scores: Scores, annotator: Annotator | None, resamples: int, seed: int
) -> list[MetricRow]:
    weights = patient_weights(scores.patients.tolist(), resamples, seed)
    lines = np.concatenate([np.ones((1, len(scores.patients)), dtype=np.int64), weights])
    view = "" if annotator is None else f"/boxes={annotator.value}"
    groups = _groups(scores, lines)
    rows = [row for group in groups for row in _group_rows(group, scores, view)]
    if annotator is None:
        rows += [row for group in groups for row in _gain_rows(group, scores)]
    return rows


def _groups(scores: Scores, lines: npt.NDArray[np.int64]) -> list[_Group]:
    everything = np.ones(len(scores.patients), dtype=bool)
    inside = {finding.value: scores.findings == finding.value for finding in Finding}
    judged = [
        _Group(name, chosen, _draws(scores.values, chosen, lines))
        for name, chosen in inside.items()
        if chosen.sum() >= MIN_IMAGES
    ]
    groups = [_Group(ALL, everything, _draws(scores.values, everything, lines))]
    if judged:
        together = np.any([group.inside for group in judged], axis=0)
        groups.append(_Group(MACRO, together, _mean_of_defined([g.draws for g in judged])))
    groups += judged
    for name, chosen in {CALLED: scores.called, MISSED: ~scores.called}.items():
        if chosen.any():
            groups.append(_Group(f"{ALL}/{name}", chosen, _draws(scores.values, chosen, lines)))
    return groups


def _draws(
    values: FloatArray, inside: npt.NDArray[np.bool_], lines: npt.NDArray[np.int64]
) -> FloatArray:
    """Weighted means of the cases inside, NaN in a resample that drew none of them."""
    weights = lines[:, inside].astype(np.float64)
    total = weights.sum(axis=1)
    sums = np.tensordot(weights, values[inside], axes=1)
    draws: FloatArray = sums / np.where(total > 0, total, np.nan)[:, None, None]
    return draws


def _mean_of_defined(draws: Sequence[FloatArray]) -> FloatArray:
    stacked = np.array(draws)
    defined = ~np.isnan(stacked)
    counted = defined.sum(axis=0)
    sums = np.where(defined, stacked, 0.0).sum(axis=0)
    mean: FloatArray = sums / np.where(counted > 0, counted, np.nan)
    return mean


def _group_rows(group: _Group, scores: Scores, view: str) -> list[MetricRow]:
    n, n_boxes = _counts(group, scores)
    n_patients = len(np.unique(scores.patients[group.inside]))
    rows: list[MetricRow] = []
    for i, pointer in enumerate(_POINTERS):
        for j, figure in enumerate(FIGURES):
            result = share_interval(group.draws[:, i, j], n_patients)
            subset = subset_name(group.name, view, pointer)
            rows += metric_row(figure, subset, result, n=n, n_positive=n_boxes)
    return rows


def _gain_rows(group: _Group, scores: Scores) -> list[MetricRow]:
    """By how much the map beats each baseline on the same resampled patients."""
    n, n_boxes = _counts(group, scores)
    cam = _POINTERS.index(Pointer.CAM)
    rows: list[MetricRow] = []
    for i, pointer in enumerate(_POINTERS):
        if i != cam:
            for j in (FIGURES.index(POINTING), FIGURES.index(IOU)):
                gains = group.draws[:, cam, j] - group.draws[:, i, j]
                result = interval_of(float(gains[0]), gains[1:])
                subset = subset_name(group.name, "", pointer)
                rows += metric_row(f"{FIGURES[j]}_gain", subset, result, n=n, n_positive=n_boxes)
    return rows


def subset_name(group: str, view: str = "", pointer: Pointer = Pointer.CAM) -> str:
    """The subset of a row, e.g. `Mass/boxes=nih/baseline=centre`."""
    name, slash, called = group.partition("/")
    baseline = "" if pointer is Pointer.CAM else f"/baseline={pointer.value}"
    return f"{name}{view}{slash}{called}{baseline}"


def _counts(group: _Group, scores: Scores) -> tuple[int, int]:
    """How many cases, and how many boxes."""
    return int(group.inside.sum()), int(scores.n_boxes[group.inside].sum())
