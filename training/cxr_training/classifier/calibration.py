"""From logits to probabilities and evidence levels, one label at a time.

Platt's method (Platt 1999) with a prior: sigmoid(slope * logit + intercept) is fitted by maximum
a posteriori, slope around 1 and intercept around 0. Binary cross-entropy without class weights
leaves a network roughly calibrated, so where a label has hundreds of positives the data decide,
and where it has one the logit is passed on nearly as it is.

From its level on a finding is `possible` or `likely`. The first is a screening point: it misses
few. The second is a rule-in point: few images without the finding reach it. Both are chosen on
validation patients; what they mean is measured on the test set's, once a model is published (`cxr
classifier evaluate --split test`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import EvidenceLevels, Finding, Interval, LabelSpec, OperatingPoint
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.predictions import Predictions
from cxr_training.data.splits import Split
from cxr_training.metrics.bootstrap import (
    BoolArray,
    FloatArray,
    interval_or_none,
    weighted_shares,
    with_resamples,
)

# Standard deviations of the prior. A network's logits are rarely off by more than a factor of
# two in slope or of e in odds.
SLOPE_STD = 0.5
INTERCEPT_STD = 1.0
# A calibration may flatten a label but never turn its order round.
LEAST_SLOPE = 0.05
CALIBRATION_METHOD = (
    "Platt scaling per label on validation patients, maximum a posteriori with priors "
    f"slope ~ N(1, {SLOPE_STD}^2) and intercept ~ N(0, {INTERCEPT_STD}^2): a label with few "
    "positives keeps nearly the network's own probability."
)
SENSITIVITY, SPECIFICITY = 0.80, 0.95
# With fewer positives a screening point would follow two or three images.
MIN_POSITIVES = 20
# A healthy chest must not be "possible" for half of the fourteen: where the screening point is
# lower, this share of the images without any finding stays below it.
NORMAL_SHARE = 0.65
LEVELS_METHOD = (
    f"On validation patients. Possible: the highest threshold with a sensitivity of {SENSITIVITY}, "
    f"and at least as high as {NORMAL_SHARE:.0%} of the images without a finding. Likely: the "
    f"lowest threshold with a specificity of {SPECIFICITY}."
)
# With fewer, a share of the images that a finding was called on says nothing.
_LEAST_CALLED = 20


def level_thresholds(
    targets: npt.ArrayLike, probabilities: npt.ArrayLike, normal: npt.ArrayLike
) -> tuple[float, str, float, str]:
    """Threshold and rule of `possible`, then of `likely`, for one finding.

    Args:
        targets: 0 or 1, [N].
        probabilities: calibrated, [N].
        normal: whether an image has no finding at all, [N].
    """
    truth, scores = np.asarray(targets, dtype=bool), np.asarray(probabilities, dtype=np.float64)
    likely = _reached_by_few(scores[~truth], SPECIFICITY)
    healthy = np.asarray(normal, dtype=bool)
    # Where every image has some label, those without this one stand for the normal ones.
    floor = _reached_by_few(scores[healthy if healthy.any() else ~truth], NORMAL_SHARE)
    found = np.sort(scores[truth])
    if len(found) < MIN_POSITIVES:
        possible, rule = floor, f"{NORMAL_SHARE:.0%} of images without a finding below"
    else:
        screening = float(found[int(np.floor((1 - SENSITIVITY) * len(found) + 1e-9))])
        possible = max(screening, floor)
        rule = f"sensitivity {SENSITIVITY}"
        if possible > screening:
            rule += f", raised: {NORMAL_SHARE:.0%} of images without a finding below"
    return possible, rule, max(likely, possible), f"specificity {SPECIFICITY}"


def _reached_by_few(scores: FloatArray, share: float) -> float:
    """A score that at least `share` of `scores` lie below; 1 where there are none."""
    if not scores.size:
        return 1.0
    ordered = np.sort(scores)
    place = int(np.ceil(share * len(ordered) - 1e-9))
    if place >= len(ordered):
        return float(min(1.0, np.nextafter(ordered[-1], 2.0)))
    # Ties at the place reach it with the image there, so the next higher score is taken.
    at = ordered[place]
    if (ordered < at).sum() >= share * len(ordered) - 1e-9:
        return float(at)
    return float(min(1.0, np.nextafter(at, 2.0)))


def fitted_levels(predictions: Predictions, probabilities: FloatArray) -> list[EvidenceLevels]:
    """The levels of each finding, in the order of the predictions, fitted to and measured on them.

    Args:
        predictions: of validation patients.
        probabilities: calibrated, [N, L].

    Raises:
        ValueError: the images are those of test patients.
    """
    if predictions.split.value == "test":
        raise ValueError("nothing is fitted on test patients")
    normal = predictions.targets.sum(axis=1) == 0
    levels = []
    for column in range(len(predictions.labels)):
        possible, possible_rule, likely, likely_rule = level_thresholds(
            predictions.targets[:, column], probabilities[:, column], normal
        )
        levels.append(
            EvidenceLevels(
                possible=_point(possible, possible_rule), likely=_point(likely, likely_rule)
            )
        )
    return measured_levels(levels, predictions, probabilities)


def measured_levels(
    levels: Sequence[EvidenceLevels],
    predictions: Predictions,
    probabilities: FloatArray,
    *,
    resamples: int = 1000,
) -> list[EvidenceLevels]:
    """`levels` with what they are measured to mean on the images of `predictions`.

    Args:
        levels: of each finding, in the order of the predictions.
        predictions: of the images.
        probabilities: calibrated, [N, L].
        resamples: of the patients, for the intervals.
    """
    weights = with_resamples(predictions.patients.tolist(), resamples, seed=1)
    measured = []
    for column, one in enumerate(levels):
        truth, scores = predictions.targets[:, column] == 1, probabilities[:, column]
        points = [
            point.model_copy(
                update={
                    "split": predictions.split.value,
                    "n": len(truth),
                    "n_positive": int(truth.sum()),
                    **_figures(truth, scores >= point.threshold, weights),
                }
            )
            for point in (one.possible, one.likely)
        ]
        measured.append(EvidenceLevels(possible=points[0], likely=points[1]))
    return measured


def with_levels(
    labels: Sequence[LabelSpec], levels: Sequence[EvidenceLevels], order: Sequence[Finding]
) -> list[LabelSpec]:
    """`labels` (any order) with the `levels` (in `order`); their threshold is `possible`."""
    by_name = dict(zip([label.value for label in order], levels, strict=True))
    return [
        label.model_copy(
            update={
                "threshold": by_name[label.name].possible.threshold,
                "threshold_rule": by_name[label.name].possible.rule,
                "levels": by_name[label.name],
            }
        )
        for label in labels
    ]


def _figures(
    truth: BoolArray, called: BoolArray, weights: FloatArray
) -> dict[str, Interval | None]:
    return {
        "sensitivity": _share(weights, truth, called, MIN_POSITIVES),
        "specificity": _share(weights, ~truth, ~called, MIN_POSITIVES),
        "precision": _share(weights, called, truth, _LEAST_CALLED),
    }


def _share(weights: FloatArray, among: BoolArray, hits: BoolArray, least: int) -> Interval | None:
    if among.sum() < least:
        return None
    return interval_or_none(weighted_shares(weights, among, hits))


def _point(threshold: float, rule: str) -> OperatingPoint:
    """Not measured yet."""
    return OperatingPoint(
        threshold=threshold,
        rule=rule,
        split="validation",
        n=0,
        n_positive=0,
        sensitivity=None,
        specificity=None,
        precision=None,
    )


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(slope * logit + intercept)."""

    slope: float
    intercept: float

    def probability(self, logits: npt.ArrayLike) -> FloatArray:
        """Calibrated probabilities, float64, of any shape of logits."""
        z = self.slope * np.asarray(logits, dtype=np.float64) + self.intercept
        probability: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * z))
        return probability


def fit_platt(targets: npt.ArrayLike, logits: npt.ArrayLike) -> Platt:
    """The most probable calibration of targets [N] (0 or 1) given logits [N]; convex, by Newton."""
    y = np.asarray(targets, dtype=np.float64)
    design = np.stack([np.asarray(logits, dtype=np.float64), np.ones(y.shape)])
    prior_mean = np.array([1.0, 0.0])
    precision = np.array([SLOPE_STD**-2, INTERCEPT_STD**-2])
    weights = prior_mean.copy()
    for _ in range(50):
        p = Platt(*weights).probability(design[0])
        gradient = design @ (p - y) + precision * (weights - prior_mean)
        hessian = (design * (p * (1 - p))) @ design.T + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        # Full Newton steps can overshoot far from the optimum; near it this limit never acts.
        weights -= step * min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-12))
        weights[0] = max(weights[0], LEAST_SLOPE)
        if np.abs(step).max() < 1e-9:
            break
    return Platt(float(weights[0]), float(weights[1]))


def patient_folds(patients: Sequence[str], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold for each image, whole patients together, int64 [N]."""
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(index.max()) + 1)
    fold: npt.NDArray[np.int64] = (order % folds)[index]
    return fold


def cross_fitted(
    targets: FloatArray,
    logits: FloatArray,
    normal: npt.NDArray[np.bool_],
    fold: npt.NDArray[np.int64],
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Probabilities of one label and whether it is possible, each image's from the other folds.

    Evaluated on the images that it was fitted to, a calibration would be flattered.

    Args:
        targets: 0 or 1, [N].
        logits: [N].
        normal: whether an image has no finding at all, [N].
        fold: of each image, [N].
    """
    probabilities = np.empty(targets.shape)
    possible = np.empty(targets.shape, dtype=bool)
    for held_out in np.unique(fold):
        inside = fold == held_out
        platt = fit_platt(targets[~inside], logits[~inside])
        others = platt.probability(logits[~inside])
        threshold, *_ = level_thresholds(targets[~inside], others, normal[~inside])
        probabilities[inside] = platt.probability(logits[inside])
        possible[inside] = probabilities[inside] >= threshold
    return probabilities, possible


@dataclass(frozen=True, slots=True)
class Decisions:
    """The shipped calibration, and what is evaluated of it: [N, 14] each.

    A label is positive where it is at least possible. `labels` carry the levels, where there are
    any, as they are measured on the evaluated images. `fitted` says that calibration and
    thresholds were fitted on these very images; probabilities and decisions are then cross-fitted,
    each image's from patients of other folds.
    """

    labels: tuple[LabelSpec, ...]
    probabilities: FloatArray
    positive: npt.NDArray[np.bool_]
    fitted: bool


def fitted_decisions(predictions: Predictions, config: Evaluation, seed: int) -> Decisions:
    """Calibration and levels fitted on all the images; decisions cross-fitted over patients.

    Raises:
        ValueError: the images are those of test patients.
    """
    if predictions.split is Split.TEST:
        raise ValueError("nothing is fitted on test patients")
    fold = patient_folds(predictions.patients.tolist(), config.calibration_folds, seed)
    normal = predictions.targets.sum(axis=1) == 0
    labels, shipped, probabilities, positive = [], [], [], []
    for column, label in enumerate(predictions.labels):
        targets, logits = predictions.targets[:, column], predictions.logits[:, column]
        platt = fit_platt(targets, logits)
        shipped.append(platt.probability(logits))
        labels.append(uncalibrated(label).model_copy(update=asdict(platt)))
        held_out = cross_fitted(targets, logits, normal, fold)
        probabilities.append(held_out[0])
        positive.append(held_out[1])
    levels = fitted_levels(predictions, np.stack(shipped, axis=1))
    return Decisions(
        tuple(with_levels(labels, levels, predictions.labels)),
        np.stack(probabilities, axis=1),
        np.stack(positive, axis=1),
        fitted=True,
    )


def shipped_decisions(predictions: Predictions, labels: Sequence[LabelSpec]) -> Decisions:
    """By the calibration and thresholds of `labels`, whatever they were fitted on.

    Args:
        predictions: the images.
        labels: those of the predictions, in any order.
    """
    by_name = {label.name: label for label in labels}
    ordered = tuple(by_name[label.value] for label in predictions.labels)
    probabilities = np.stack(
        [
            Platt(label.slope, label.intercept).probability(predictions.logits[:, column])
            for column, label in enumerate(ordered)
        ],
        axis=1,
    )
    positive = probabilities >= np.array([label.threshold for label in ordered])
    levels = [label.levels for label in ordered if label.levels is not None]
    if len(levels) == len(ordered):
        measured = measured_levels(levels, predictions, probabilities)
        ordered = tuple(with_levels(ordered, measured, predictions.labels))
    return Decisions(ordered, probabilities, positive, fitted=False)


def uncalibrated(label: Finding) -> LabelSpec:
    """A label's output as the network gives it."""
    return LabelSpec(name=label, threshold=0.5, threshold_rule="none", slope=1.0, intercept=0.0)
