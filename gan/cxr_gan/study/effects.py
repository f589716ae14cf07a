"""What each arm gains over real images alone, label by label and in the mean."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxr_contracts import Interval
from cxr_gan.study.answers import Answers
from cxr_gan.study.plan import Plan
from cxr_gan.study.rare import RareLabels
from cxr_gan.study.rows import ALL, RARE
from cxr_gan.study.statistics import LEVEL, Estimate, estimate, holm
from cxr_training.classifier.samples import LABELS, UNJUDGED
from cxr_training.metrics.bootstrap import FloatArray, Weights, patient_weights
from cxr_training.metrics.classification import aurocs

EFFECTS_CSV = "effects.csv"
MEANS = (ALL, RARE)
_RESAMPLING_SEED = 1
_HEADER = (
    *("arm", "against", "figure", "n_positive", "auroc", "low", "high"),
    *("effect", "low", "high", "p", "p_holm", "se_seeds", "se_patients"),
)

# Of one arm, each figure of each seed: [S, 1 + B] as `estimate` takes it.
Draws = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Effect:
    """A figure of an arm, and what it gains over another arm with the same seeds and patients."""

    arm: str
    against: str | None
    figure: str
    """A label, or one of `MEANS`."""
    n_positive: int
    auroc: Interval
    gain: Estimate | None
    p_holm: float | None = None
    """Corrected over every arm's two means; None for a single label and for a control's."""

    @property
    def wins(self) -> bool:
        """Better, beyond chance, with all comparisons in mind."""
        return self._is_certain and self.gain is not None and self.gain.interval.value > 0

    @property
    def loses(self) -> bool:
        """Worse, beyond chance, with all comparisons in mind."""
        return self._is_certain and self.gain is not None and self.gain.interval.value < 0

    @property
    def _is_certain(self) -> bool:
        return self.p_holm is not None and self.p_holm < LEVEL


def draws_of(answers: Sequence[Answers], rare: RareLabels, resamples: int) -> Draws:
    """Every figure of one arm on the validation patients and on each resample of them.

    Args:
        answers: one a seed, of the same images.
        rare: which labels are judged.
        resamples: of the patients; the same ones for all arms and seeds.
    """
    patients = answers[0].patients.tolist()
    weights = patient_weights(patients, resamples, _RESAMPLING_SEED)
    lines: Weights = np.concatenate([np.ones((1, len(patients)), dtype=np.int64), weights])
    figures: Draws = {}
    for label in rare.judged:
        column = LABELS.index(label)
        judged = answers[0].targets[:, column] != UNJUDGED
        targets = answers[0].targets[judged, column]
        figures[label.value] = np.stack(
            [aurocs(targets, one.logits[judged, column], lines[:, judged]) for one in answers]
        )
    means = {
        name: np.mean([figures[label.value] for label in labels], axis=0)
        for name, labels in ((ALL, rare.judged), (RARE, rare.judged_rare))
    }
    return means | figures


def effects_of(plan: Plan, draws: Mapping[str, Draws], rare: RareLabels) -> list[Effect]:
    """Every figure of every arm, the p values of the means corrected together.

    Corrected over all arms and both means: an arm that wins does so among everything that was
    looked at. Comparisons with an arm of shuffled labels come last and are not part of it.
    """
    found: list[Effect] = []
    for name, figures in draws.items():
        other = None if name == plan.reference else plan.reference
        found += [_effect(name, other, figure, draws, rare) for figure in figures]
    p = {
        (effect.arm, effect.figure): effect.gain.p
        for effect in found
        if effect.figure in MEANS and effect.gain is not None
    }
    corrected = holm(p)
    found = [replace(effect, p_holm=corrected.get((effect.arm, effect.figure))) for effect in found]
    for control, name in plan.label_controls.items():
        found += [_effect(name, control, figure, draws, rare) for figure in draws[name]]
    return found


def _effect(
    arm: str, against: str | None, figure: str, draws: Mapping[str, Draws], rare: RareLabels
) -> Effect:
    own = draws[arm][figure]
    gain = None if against is None else estimate(own - draws[against][figure])
    return Effect(
        arm, against, figure, _positives(figure, rare), _within(estimate(own).interval), gain
    )


def _positives(figure: str, rare: RareLabels) -> int:
    labels = {ALL: rare.judged, RARE: rare.judged_rare}.get(
        figure, tuple(label for label in rare.judged if label.value == figure)
    )
    return sum(rare.validation[label] for label in labels)


def _within(auroc: Interval) -> Interval:
    return Interval(value=auroc.value, low=max(auroc.low, 0.0), high=min(auroc.high, 1.0))


def write_effects(effects: Sequence[Effect], folder: Path) -> None:
    """`effects.csv`."""
    with (folder / EFFECTS_CSV).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_HEADER)
        for effect in effects:
            numbers = [effect.auroc.value, effect.auroc.low, effect.auroc.high]
            if effect.gain is not None:
                gain = effect.gain
                numbers += [gain.interval.value, gain.interval.low, gain.interval.high, gain.p]
            cells = [f"{x:.5f}" for x in numbers]
            if effect.gain is not None:
                cells.append("" if effect.p_holm is None else f"{effect.p_holm:.5f}")
                cells += [f"{effect.gain.error_of_seeds:.5f}"]
                cells += [f"{effect.gain.error_of_patients:.5f}"]
            cells += [""] * (len(_HEADER) - 4 - len(cells))
            head = [effect.arm, effect.against or "", effect.figure, str(effect.n_positive)]
            writer.writerow([*head, *cells])
