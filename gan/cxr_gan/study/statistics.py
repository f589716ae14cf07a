"""What each arm gains over real images alone, with what patients and trainings leave uncertain.

The mixed model of multi-reader studies (Obuchowski and Rockette, Communications in Statistics
1995; degrees of freedom of Hillis, Statistics in Medicine 2007), with trainings as readers: an
interval holds for other patients like these and for other seeds, not for another generator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.stats import t

from cxr_contracts import Interval
from cxr_gan.study.plan import Plan, RareLabels
from cxr_gan.study.training import Predictions
from cxr_training.classifier.samples import LABELS, MASKED
from cxr_training.metrics.bootstrap import FloatArray, Weights, patient_weights
from cxr_training.metrics.classification import aurocs

ALL, RARE = "mean", "mean of the rare"
LEVEL = 0.05
_RESAMPLING_SEED = 1
Key = TypeVar("Key")
# Of one arm, each figure of each seed: [S, 1 + B] as `estimate` takes it.
Draws = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds."""

    interval: Interval
    p: float
    """Two-sided, of the mean being zero; not corrected."""
    error_of_seeds: float
    """Standard error that the trainings' luck makes."""
    error_of_patients: float
    """Standard error that the choice of patients makes."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A figure of an arm, and what it gains over another arm with the same seeds and patients."""

    arm: str
    against: str | None
    figure: str
    """A label, or one of the means."""
    n_positive: int
    auroc: Interval
    gain: Estimate | None
    p_holm: float | None = None
    """Corrected over every arm's two means; None for a single label and for a control's."""

    @property
    def beyond_chance(self) -> bool:
        """With all comparisons in mind."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def wins(self) -> bool:
        """Better, beyond chance."""
        return self.beyond_chance and self.gain is not None and self.gain.interval.value > 0

    @property
    def loses(self) -> bool:
        """Worse, beyond chance."""
        return self.beyond_chance and not self.wins


def estimate(draws: FloatArray) -> Estimate:
    """The mean over seeds of one figure, or of a difference of two.

    Args:
        draws: [S, 1 + B] of at least two seeds: first the figure on the patients themselves, then
            on each resample of them, the same resamples for all seeds. A resample on which it is
            not defined (NaN) is left out.
    """
    n_seeds = len(draws)
    values, resampled = draws[:, 0], draws[:, 1:]
    resampled = resampled[:, ~np.isnan(resampled).any(axis=0)]
    of_seeds = float(values.var(ddof=1)) / n_seeds
    # What the trainings have in common over resamples is the patients' part.
    shared = np.cov(resampled) if resampled.shape[1] > 1 else np.zeros((n_seeds, n_seeds))
    of_patients = max(float(shared[~np.eye(n_seeds, dtype=bool)].mean()), 0.0)
    variance, mean = of_seeds + of_patients, float(values.mean())
    if variance == 0:
        interval = Interval(value=mean, low=mean, high=mean)
        return Estimate(interval, 0.0 if mean else 1.0, 0.0, 0.0)
    freedom = variance**2 * (n_seeds - 1) / of_seeds**2 if of_seeds else np.inf
    error = float(np.sqrt(variance))
    margin = float(t.ppf(1 - LEVEL / 2, freedom)) * error
    return Estimate(
        interval=Interval(value=mean, low=mean - margin, high=mean + margin),
        p=float(2 * t.sf(abs(mean) / error, freedom)),
        error_of_seeds=float(np.sqrt(of_seeds)),
        error_of_patients=float(np.sqrt(of_patients)),
    )


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """The p values corrected for being several (Holm, Scandinavian Journal of Statistics 1979)."""
    corrected: dict[Key, float] = {}
    least = 0.0
    for rank, (key, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, value * (len(p) - rank)))
        corrected[key] = least
    return corrected


def draws_of(predictions: Sequence[Predictions], rare: RareLabels, resamples: int) -> Draws:
    """Every figure of one arm on the validation patients and on each resample of them.

    Args:
        predictions: one a seed, of the same images.
        rare: which labels are evaluated.
        resamples: of the patients; the same ones for all arms and seeds.
    """
    patients = predictions[0].patients.tolist()
    weights = patient_weights(patients, resamples, _RESAMPLING_SEED)
    lines: Weights = np.concatenate([np.ones((1, len(patients)), dtype=np.int64), weights])
    figures: Draws = {}
    for label in rare.evaluated:
        column = LABELS.index(label)
        inside = predictions[0].targets[:, column] != MASKED
        targets = predictions[0].targets[inside, column]
        figures[label.value] = np.stack(
            [aurocs(targets, one.logits[inside, column], lines[:, inside]) for one in predictions]
        )
    means = {
        name: np.mean([figures[label.value] for label in labels], axis=0)
        for name, labels in ((ALL, rare.evaluated), (RARE, rare.evaluated_rare))
    }
    return means | figures


def effects_of(plan: Plan, draws: Mapping[str, Draws], rare: RareLabels) -> list[Effect]:
    """Every figure of every arm, the p values of the means corrected together.

    Corrected over all arms and both means: an arm that wins does so among everything that was
    looked at. Comparisons with an arm of shuffled labels come last and are not part of it.
    """
    positives = {label.value: rare.validation[label] for label in rare.evaluated}
    positives |= {ALL: sum(positives.values())}
    positives |= {RARE: sum(rare.validation[label] for label in rare.evaluated_rare)}

    def effect(arm: str, against: str | None, figure: str) -> Effect:
        own, found = draws[arm][figure], estimate(draws[arm][figure]).interval
        gain = None if against is None else estimate(own - draws[against][figure])
        auroc = Interval(value=found.value, low=max(found.low, 0), high=min(found.high, 1))
        return Effect(arm, against, figure, positives[figure], auroc, gain)

    found = [
        effect(arm, None if arm == plan.reference else plan.reference, figure)
        for arm, figures in draws.items()
        for figure in figures
    ]
    tested = {
        (x.arm, x.figure): x.gain.p for x in found if x.figure in (ALL, RARE) and x.gain is not None
    }
    corrected = holm(tested)
    found = [replace(x, p_holm=corrected.get((x.arm, x.figure))) for x in found]
    controls = plan.label_controls.items()
    return found + [effect(arm, x, figure) for x, arm in controls for figure in draws[arm]]
