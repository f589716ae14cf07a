"""From logits to probabilities and operating points, one label at a time.

Platt's method (Platt 1999) with a prior: sigmoid(slope * logit + intercept) is fitted by maximum
a posteriori, slope around 1 and intercept around 0. Binary cross-entropy without class weights
leaves a network roughly calibrated, so where a label has hundreds of positives the data decide,
and where it has one the logit is passed on nearly as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import LabelSpec
from cxr_training.classifier.config import YOUDEN, Evaluation, OperatingPoint
from cxr_training.classifier.predictions import Predictions
from cxr_training.classifier.samples import LABELS
from cxr_training.data.splits import Split
from cxr_training.metrics.classification import WeightedRoc, weighted_roc

FloatArray = npt.NDArray[np.float64]
# Standard deviations of the prior. A network's logits are rarely off by more than a factor of
# two in slope or of e in odds.
SLOPE_STD = 0.5
INTERCEPT_STD = 1.0
# A calibration may flatten a label but never turn its order round.
LEAST_SLOPE = 0.05
FALLBACK_SPECIFICITY = 0.95
FALLBACK = f"specificity {FALLBACK_SPECIFICITY}"
# Resamples whose ROC curves are held at a time.
_LINES_AT_ONCE = 32
CALIBRATION_METHOD = (
    "Platt scaling per label on validation patients, maximum a posteriori with priors "
    f"slope ~ N(1, {SLOPE_STD}^2) and intercept ~ N(0, {INTERCEPT_STD}^2): a label with few "
    "positives keeps nearly the network's own probability."
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


def threshold_method(point: OperatingPoint) -> str:
    """How `choose_threshold` goes about it, as the manifest and the card say it."""
    rule = (
        "that of the largest sensitivity + specificity (Youden)"
        if point == YOUDEN
        else f"the highest with a sensitivity of at least {point.sensitivity}"
    )
    return (
        f"Of the calibrated probabilities of validation patients, {rule}; with too few positives, "
        f"that of specificity {FALLBACK_SPECIFICITY}."
    )


def choose_threshold(
    targets: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    min_positives: int,
    sensitivity: float | None = None,
) -> tuple[float, str]:
    """The operating point and the name of the rule that chose it (see `threshold_method`).

    Args:
        targets: 0 or 1, [N].
        probabilities: calibrated, [N].
        min_positives: with fewer positives, or fewer negatives, the rule is `FALLBACK`.
        sensitivity: the stated one; None for Youden's point.
    """
    y = np.asarray(targets, dtype=bool)
    if min(int(y.sum()), int((~y).sum())) < min_positives:
        rule = FALLBACK
    else:
        rule = YOUDEN if sensitivity is None else f"sensitivity {sensitivity}"
    weights = np.ones((1, y.size))
    [threshold] = threshold_draws(targets, probabilities, weights, rule, sensitivity)
    return float(threshold), rule


def threshold_draws(
    targets: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    weights: npt.ArrayLike,
    rule: str,
    sensitivity: float | None = None,
) -> FloatArray:
    """The threshold that `rule` chooses in each resample, weights [B, N]: float64 [B]."""
    weights = np.asarray(weights)
    return np.concatenate(
        [
            _chosen(weighted_roc(targets, probabilities, lines), rule, sensitivity)
            for lines in np.array_split(weights, max(1, len(weights) // _LINES_AT_ONCE))
        ]
    )


def _chosen(roc: WeightedRoc, rule: str, stated: float | None) -> FloatArray:
    """In each resample, of the scores that occur in it, the one that the rule chooses."""
    thresholds = roc.thresholds
    if rule == FALLBACK:
        enough = roc.occurs & (roc.specificity >= FALLBACK_SPECIFICITY)
        # Where even the highest score spares too few, it is the highest.
        enough[:, -1] = True
        chosen: FloatArray = thresholds[enough.argmax(axis=1)]
        return chosen
    if stated is None:
        gain = np.where(roc.occurs, roc.sensitivity + roc.specificity, -np.inf)
        chosen = thresholds[gain.argmax(axis=1)]
    else:
        # Sensitivity falls as the threshold rises; the lowest score of all finds every positive.
        reached = roc.occurs & (roc.sensitivity >= stated - 1e-12)
        chosen = thresholds[len(thresholds) - 1 - reached[:, ::-1].argmax(axis=1)]
    # A resample without a positive chooses nothing.
    return np.where(roc.sensitivity[:, 0] > 0, chosen, np.nan)


def fit_label(
    name: str,
    targets: npt.ArrayLike,
    logits: npt.ArrayLike,
    min_positives: int,
    sensitivity: float | None = None,
) -> LabelSpec:
    """Calibration and operating point of one label; see `choose_threshold`."""
    platt = fit_platt(targets, logits)
    threshold, rule = choose_threshold(
        targets, platt.probability(logits), min_positives, sensitivity
    )
    return LabelSpec(
        name=name,
        threshold=threshold,
        threshold_rule=rule,
        slope=platt.slope,
        intercept=platt.intercept,
    )


def patient_folds(patients: Sequence[str], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """A fold for each image, whole patients together, int64 [N]."""
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    order = np.random.default_rng(seed).permutation(int(index.max()) + 1)
    fold: npt.NDArray[np.int64] = (order % folds)[index]
    return fold


def cross_fitted(
    targets: FloatArray,
    logits: FloatArray,
    fold: npt.NDArray[np.int64],
    min_positives: int,
    sensitivity: float | None = None,
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Probabilities and decisions of one label, each image's from the patients of other folds.

    Evaluated on the images that it was fitted to, a calibration would be flattered.
    """
    probabilities = np.empty(targets.shape)
    positive = np.empty(targets.shape, dtype=bool)
    for held_out in np.unique(fold):
        inside = fold == held_out
        spec = fit_label("", targets[~inside], logits[~inside], min_positives, sensitivity)
        probabilities[inside] = Platt(spec.slope, spec.intercept).probability(logits[inside])
        positive[inside] = probabilities[inside] >= spec.threshold
    return probabilities, positive


@dataclass(frozen=True, slots=True)
class Decisions:
    """The shipped calibration, and what is evaluated of it: [N, 14] each.

    `fitted` says that calibration and thresholds were fitted on the evaluated images;
    probabilities and decisions are then cross-fitted, each image's from patients of other folds.
    """

    labels: tuple[LabelSpec, ...]
    probabilities: FloatArray
    positive: npt.NDArray[np.bool_]
    fitted: bool


def fitted_decisions(predictions: Predictions, config: Evaluation, seed: int) -> Decisions:
    """Calibration and thresholds fitted on all the images; decisions cross-fitted over patients.

    Raises:
        ValueError: the images are those of test patients.
    """
    if predictions.split is Split.TEST:
        raise ValueError("nothing is fitted on test patients")
    fold = patient_folds(predictions.patients.tolist(), config.calibration_folds, seed)
    few, stated = config.min_positives, config.stated_sensitivity
    labels, probabilities, positive = [], [], []
    for column, label in enumerate(LABELS):
        targets, logits = predictions.targets[:, column], predictions.logits[:, column]
        labels.append(fit_label(label.value, targets, logits, few, stated))
        held_out = cross_fitted(targets, logits, fold, few, stated)
        probabilities.append(held_out[0])
        positive.append(held_out[1])
    return Decisions(
        tuple(labels), np.stack(probabilities, axis=1), np.stack(positive, axis=1), fitted=True
    )


def shipped_decisions(predictions: Predictions, labels: Sequence[LabelSpec]) -> Decisions:
    """By a calibration and thresholds that owe nothing to these images.

    Args:
        predictions: the images.
        labels: the fourteen, in any order.
    """
    by_name = {label.name: label for label in labels}
    ordered = tuple(by_name[label.value] for label in LABELS)
    probabilities = np.stack(
        [
            Platt(label.slope, label.intercept).probability(predictions.logits[:, column])
            for column, label in enumerate(ordered)
        ],
        axis=1,
    )
    positive = probabilities >= np.array([label.threshold for label in ordered])
    return Decisions(ordered, probabilities, positive, fitted=False)
