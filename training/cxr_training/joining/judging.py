"""How good each form is on patients whom its constants have not seen, and which one wins."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_training.detector.annotations import REGIONS
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE, RESAMPLES, SEED
from cxr_training.detector.scoring import (
    BoolArray,
    FloatArray,
    Matches,
    average_precision,
    froc_sensitivity,
)
from cxr_training.joining.answers import Answers
from cxr_training.joining.forms import FIT_MIN_SCORE, FORMS, Fit, usual_opinions
from cxr_training.metrics.bootstrap import patient_weights

FOLDS = 5
MAP50 = "map50_known"
LOG_LOSS = "log_loss"
FROCS = tuple(f"froc_{rate:g}_known" for rate in FALSE_BOXES_PER_IMAGE)
BASELINE = "detector"
# The forms that the classifier has no part in.
ALONE = (BASELINE, "calibrated")
# Resamples at once: of tens of thousands of boxes, more would need gigabytes.
_CHUNK = 25


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One form on patients whom its constants have not seen."""

    scores: FloatArray
    """[D], the joined scores."""
    ranking: FloatArray
    """[D], the order within each region, the same for all folds (`Constants.ranking`)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One form on one set of radiographs; each array is the figure and its resamples."""

    per_class: FloatArray
    """[regions, 1 + resamples], the average precision at IoU 0.5; NaN without a box."""
    named: Mapping[str, FloatArray]
    """`MAP50`, `FROCS` and `LOG_LOSS`, each [1 + resamples]."""


def fold_of(patients: npt.NDArray[np.str_]) -> npt.NDArray[np.intp]:
    """The fold of each radiograph, by its patient's number alone."""
    digests = (hashlib.sha256(f"cxr-joining-1:{patient}".encode()) for patient in patients)
    return np.array([int.from_bytes(digest.digest()[:4], "big") % FOLDS for digest in digests])


def held_out(fit: Fit, answers: Answers) -> HeldOut:
    """Each fold's detections under the constants fitted to the other folds."""
    fold = fold_of(answers.patients)
    centres = usual_opinions(answers)
    scores, ranking = np.zeros(len(answers.score)), np.zeros(len(answers.score))
    for left_out in np.unique(fold):
        constants = fit(answers.of_patients(fold != left_out))
        inside = fold[answers.image] == left_out
        scores[inside] = constants.scores(answers)[inside]
        ranking[inside] = constants.ranking(answers, centres)[inside]
    return HeldOut(scores, ranking)


def figures(
    answers: Answers, held: HeldOut, weights: FloatArray, *, known_only: bool = True
) -> Figures:
    """mAP50, FROC and log loss of one form.

    The log loss is the mean over the boxes that a fit looks at, in nats: how well the score says
    how likely it is that a box is right. Lower is better.

    Args:
        answers: of all radiographs.
        held: the form's scores.
        weights: [1 + resamples, n], the first all ones or zeros.
        known_only: whether what nobody looked for is left out.
    """
    ranked = answers.matches(held.ranking, known_only=known_only)
    scored = answers.matches(held.scores, known_only=known_only)
    parts = [
        _figures(ranked, scored, weights[start : start + _CHUNK])
        for start in range(0, len(weights), _CHUNK)
    ]
    names = (MAP50, *FROCS)
    named = {name: np.concatenate([part.named[name] for part in parts]) for name in names}
    named[LOG_LOSS] = _log_loss(answers, held.scores, weights)
    return Figures(np.concatenate([part.per_class for part in parts], axis=1), named)


def _figures(ranked: Matches, scored: Matches, weights: FloatArray) -> Figures:
    labels = range(len(REGIONS))
    per_class = np.array([average_precision(ranked, label, weights, (0,)) for label in labels])
    defined = ~np.isnan(per_class)
    total = np.where(defined, per_class, 0.0).sum(axis=0)
    named = {MAP50: total / np.maximum(defined.sum(axis=0), 1)}
    for name, rate in zip(FROCS, FALSE_BOXES_PER_IMAGE, strict=True):
        named[name] = froc_sensitivity(scored, weights, rate)
    return Figures(per_class, named)


def _log_loss(answers: Answers, scores: FloatArray, weights: FloatArray) -> FloatArray:
    chosen = answers.judged() & (answers.score >= FIT_MIN_SCORE)
    # The detector's own score may be 0 or 1.
    said = np.clip(scores[chosen], 1e-6, 1 - 1e-6)
    loss = -np.log(np.where(answers.hit[chosen, 0], said, 1 - said))
    n, image = len(answers.patients), answers.image[chosen]
    total = weights @ np.bincount(image, loss, minlength=n)
    boxes = weights @ np.bincount(image, minlength=n)
    mean: FloatArray = np.divide(total, boxes, out=np.full(len(total), np.nan), where=boxes > 0)
    return mean


def resampled(answers: Answers, inside: BoolArray, resamples: int = RESAMPLES) -> FloatArray:
    """Weights [1 + resamples, n] of the radiographs for which `inside` [n] holds, 0 elsewhere."""
    weights = patient_weights(answers.patients.tolist(), resamples, SEED)
    everything = np.ones((1, len(answers.patients)))
    chosen: FloatArray = np.concatenate([everything, weights.astype(np.float64)]) * inside
    return chosen


def choose(judged: Mapping[str, Figures]) -> str:
    """The form to ship; `BASELINE` where no joining is worth it.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3), in two steps. Of the forms
    whose mean sensitivity over the FROC's rates is not more than a standard error below the
    detector's own, those stay whose mAP50 is within a standard error of the best. If the classifier
    makes one of them say better how likely a box is right, by more than a standard error of the log
    loss below what the detector and its calibration reach alone, those stay that are within a
    standard error of it. The simplest that is left wins. A standard error is that of the paired
    difference over resampled patients.
    """
    forms = [name for name in FORMS if name in judged]
    froc = {name: np.mean([judged[name].named[key] for key in FROCS], axis=0) for name in forms}
    eligible = [name for name in forms if not _is_below(froc[name], froc[BASELINE])]
    mean_ap = {name: judged[name].named[MAP50] for name in eligible}
    best = max(eligible, key=lambda name: float(mean_ap[name][0]))
    near = [name for name in eligible if not _is_below(mean_ap[name], mean_ap[best])]
    loss = {name: judged[name].named[LOG_LOSS] for name in forms}
    surest = min(near, key=lambda name: float(loss[name][0]))
    # Where no box at all is right, how surely that is said proves nothing.
    finds = float(mean_ap[best][0]) > 0
    if finds and all(_is_below(loss[surest], loss[name]) for name in ALONE if name in loss):
        near = [name for name in near if not _is_below(loss[surest], loss[name])]
    return near[0]


def _is_below(one: FloatArray, other: FloatArray) -> bool:
    """Whether a figure is lower than another by more than a standard error."""
    difference = one - other
    return bool(difference[0] < -float(np.nanstd(difference[1:])))
