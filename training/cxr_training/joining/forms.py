"""Ways to join two scores, from the simplest on; each is one set of constants for each region.

All have the shape that the gateway computes,
sigmoid(a * logit(score) + b * logit(probability) + c):

- `detector`: a = 1, b = c = 0. The detector's own score, to compare with.
- `calibrated`: b = 0. What calibration does without the classifier: one a, a c for each region.
- `pool`: a = 1 - alpha, b = alpha, c = 0: one number for all, chosen by mAP50 itself.
- `lifted`: a = 1, c = -b * m: the box's odds rise with what the classifier says beyond the usual.
  m is its mean logit for the finding, so that no kind of region gains on another by being common;
  one b for all, the most probable for "this box is right".
- `shared`: one a and one b for all regions, a c for each.
- `regional`: a, b and c for each region.

`calibrated`, `shared` and `regional` are the most probable constants for "this box is right" (IoU
of at least 0.5) under Gaussian priors that draw a region's constants towards the shared ones, so
that a region with a handful of boxes keeps close to them (Gelman and Hill 2007, chapter 12, on
partial pooling). A region without a finding of the classifier has b = 0 in every form, and in those
three the c that keeps its scores comparable.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from cxr_gateway.analysis.rescoring import logit
from cxr_training.data.annotations import REGIONS
from cxr_training.detector.scoring import FloatArray, IndexArray, average_precision
from cxr_training.rescoring.answers import FINDINGS, REGION_FINDINGS, Answers

N = len(REGIONS)
KNOWS = np.array([finding is not None for finding in REGION_FINDINGS])
# Of a region's constant around the shared one. 0.5 in logits lets the odds of two regions differ
# by a factor of four; the slopes of two regions hardly differ.
PRIOR_SD_INTERCEPT = 0.5
PRIOR_SD_SLOPE = 0.1
# Boxes below are nearly all wrong, and so many that they alone would decide the slopes.
FIT_MIN_SCORE = 0.01
_ALPHAS = np.linspace(0.0, 0.9, 10)
_SMALLEST_SLOPE = 0.05
_LARGEST_LIFT = 3.0


@dataclass(frozen=True, slots=True)
class Constants:
    """One set, each [regions]."""

    score_weight: FloatArray
    probability_weight: FloatArray
    intercept: FloatArray

    def scores(self, answers: Answers) -> FloatArray:
        """The rescored score [D] of each detection."""
        label = answers.label
        z = self.score_weight[label] * logit(answers.score) + self.intercept[label]
        z += self.probability_weight[label] * _opinions(answers)
        rescored: FloatArray = 1.0 / (1.0 + np.exp(-z))
        return rescored

    def ranking(self, answers: Answers, centres: FloatArray) -> FloatArray:
        """[D], the order within each region alone: what two folds' constants agree on.

        A region's average precision depends on b / a only. Between two fits c differs by chance,
        and pooling their scores would cost even the detector's own order some precision.

        Args:
            answers: of any radiographs.
            centres: [regions], a usual logit of the classifier, the same for all folds.
        """
        label = answers.label
        ratio = (self.probability_weight / self.score_weight)[label]
        return logit(answers.score) + ratio * (_opinions(answers) - centres[label])


def usual_opinions(answers: Answers) -> FloatArray:
    """[regions], the mean logit of the classifier's probability; 0 where it has no such label."""
    columns = [FINDINGS.index(finding) if finding else 0 for finding in REGION_FINDINGS]
    means = logit(answers.probabilities).mean(axis=0)[columns]
    return np.where(KNOWS, means, 0.0)


Fit = Callable[[Answers], Constants]


def detector_alone(_answers: Answers) -> Constants:
    """The detector's own score."""
    return Constants(np.ones(N), np.zeros(N), np.zeros(N))


def pooled(answers: Answers) -> Constants:
    """The logarithmic opinion pool (Genest and Zidek 1986) with the best mAP50."""
    weights = np.ones((1, len(answers.patients)))
    candidates = [_pool(alpha) for alpha in _ALPHAS]
    figures = []
    for constants in candidates:
        matches = answers.matches(constants.scores(answers), known_only=True)
        each = [average_precision(matches, label, weights, (0,))[0] for label in range(N)]
        figures.append(np.nanmean(each))
    return candidates[int(np.argmax(figures))]


def _pool(alpha: float) -> Constants:
    return Constants(np.where(KNOWS, 1 - alpha, 1.0), np.where(KNOWS, alpha, 0.0), np.zeros(N))


def lifted(answers: Answers) -> Constants:
    """The detector's own odds, moved by the classifier's surprise."""
    centres = usual_opinions(answers)
    chosen = answers.judged() & (answers.score >= FIT_MIN_SCORE)
    label, right = answers.label[chosen], answers.hit[chosen, 0]
    own = logit(answers.score[chosen])
    surprise = np.where(KNOWS[label], _opinions(answers)[chosen] - centres[label], 0.0)

    def loss(weight: float) -> float:
        z = own + weight * surprise
        return float((np.logaddexp(0.0, z) - right * z).sum())

    weight = float(minimize_scalar(loss, bounds=(0.0, _LARGEST_LIFT), method="bounded").x)
    return Constants(
        np.ones(N), np.where(KNOWS, weight, 0.0), np.where(KNOWS, -weight * centres, 0.0)
    )


def calibrated(answers: Answers) -> Constants:
    """Without the classifier."""
    return _most_probable(answers, with_classifier=False, regional_slopes=False)


def shared(answers: Answers) -> Constants:
    """With one weight of the classifier for all regions."""
    return _most_probable(answers, with_classifier=True, regional_slopes=False)


def regional(answers: Answers) -> Constants:
    """With a weight for each region, drawn towards the shared one."""
    return _most_probable(answers, with_classifier=True, regional_slopes=True)


# From the simplest on.
FORMS: dict[str, Fit] = {
    "detector": detector_alone,
    "calibrated": calibrated,
    "pool": pooled,
    "lifted": lifted,
    "shared": shared,
    "regional": regional,
}


def _opinions(answers: Answers) -> FloatArray:
    """[D], the logit of the classifier's probability; 0 where it has no such label."""
    opinions = answers.opinions()
    return np.where(np.isnan(opinions), 0.0, logit(np.nan_to_num(opinions, nan=0.5)))


@dataclass(frozen=True, slots=True)
class _Problem:
    """Right or wrong of each detection that can be judged, and what is known of it."""

    label: IndexArray
    score: FloatArray
    opinion: FloatArray
    right: FloatArray


def _most_probable(answers: Answers, *, with_classifier: bool, regional_slopes: bool) -> Constants:
    judged = answers.judged() & (answers.score >= FIT_MIN_SCORE)
    problem = _Problem(
        label=answers.label[judged],
        score=logit(answers.score[judged]),
        opinion=_opinions(answers)[judged],
        right=answers.hit[judged, 0].astype(np.float64),
    )
    # Shared a, b, c, then each region's difference from them.
    free = np.zeros((1 + N, 3), dtype=bool)
    free[0] = [True, with_classifier, True]
    free[1:, 2] = True
    if regional_slopes:
        free[1:, 0] = True
        free[1:, 1] = KNOWS
    start = np.zeros((1 + N, 3))
    start[0] = [1.0, 0.0, 0.0]
    found = minimize(
        _loss,
        start.ravel(),
        args=(problem, free.ravel()),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000},
    )
    table = found.x.reshape(1 + N, 3)
    a, b, c = (table[0] + table[1:]).T
    return Constants(np.maximum(a, _SMALLEST_SLOPE), np.where(KNOWS, np.maximum(b, 0.0), 0.0), c)


def _loss(
    flat: FloatArray, problem: _Problem, free: npt.NDArray[np.bool_]
) -> tuple[float, FloatArray]:
    """The negative log posterior and its gradient."""
    table = flat.reshape(1 + N, 3)
    constants = table[0] + table[1:]
    columns = np.stack([problem.score, problem.opinion, np.ones_like(problem.score)], axis=1)
    z = (constants[problem.label] * columns).sum(axis=1)
    likelihood = float((np.logaddexp(0.0, z) - problem.right * z).sum())
    residual = 1.0 / (1.0 + np.exp(-z)) - problem.right
    gradient = np.zeros_like(table)
    for column in range(3):
        each = np.bincount(problem.label, residual * columns[:, column], minlength=N)
        gradient[1:, column] = each
        gradient[0, column] = each.sum()
    precision = np.array([PRIOR_SD_SLOPE, PRIOR_SD_SLOPE, PRIOR_SD_INTERCEPT]) ** -2.0
    penalty = 0.5 * float((precision * table[1:] ** 2).sum())
    gradient[1:] += precision * table[1:]
    return likelihood + penalty, np.where(free, gradient.ravel(), 0.0)
