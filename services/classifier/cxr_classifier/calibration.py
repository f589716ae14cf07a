"""From the network's logits and maps to findings with probabilities and evidence levels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import (
    CamGrid,
    Finding,
    FindingProbability,
    LabelSpec,
    evidence_order,
    level_of,
)

# Decimals of a map's value: a heat map has 256 steps, a logit spans some ten units.
_CAM_DECIMALS = 4
_PROBABILITY_DECIMALS = 6


class Calibration:
    """The labels of a classifier with their Platt scaling and the thresholds of their levels.

    Raises:
        ValueError: There is no label, one that stands there twice, or one of no valid name.
    """

    def __init__(self, labels: list[LabelSpec]) -> None:
        names = [label.name for label in labels]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"the labels are not findings, each once: {names}")
        self.findings = [Finding(name) for name in names]
        self.level_thresholds = [label.level_thresholds for label in labels]
        self._slopes = np.array([label.slope for label in labels])
        self._intercepts = np.array([label.intercept for label in labels])

    def probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities [L] of `logits` [L]: sigmoid(slope * logit + intercept)."""
        # tanh does not overflow, however far a logit lies.
        halves: npt.NDArray[np.float64] = 0.5 * (self._slopes * logits + self._intercepts)
        return 0.5 * (1.0 + np.tanh(halves))


@dataclass(frozen=True)
class ClassifierOutput:
    """What the network says of one image: logits [L] and maps [L, h, w], float32.

    `cams` is [0, 0, 0] of a network that has no maps.
    """

    calibration: Calibration
    logits: npt.NDArray[np.float32]
    cams: npt.NDArray[np.float32]

    def findings_and_cams(self, explain: int) -> tuple[list[FindingProbability], list[CamGrid]]:
        """All findings, by level and then probability, and the maps of the first `explain`."""
        probabilities = self.calibration.probabilities(self.logits).round(_PROBABILITY_DECIMALS)
        findings = [
            _finding(name, probability, *thresholds)
            for name, probability, thresholds in zip(
                self.calibration.findings,
                probabilities.tolist(),
                self.calibration.level_thresholds,
                strict=True,
            )
        ]
        findings.sort(key=lambda one: evidence_order(one.level, one.probability))
        maps = (
            dict(zip(self.calibration.findings, self.cams, strict=True)) if len(self.cams) else {}
        )
        cams = [
            CamGrid(
                finding=one.finding,
                values=maps[one.finding].astype(np.float64).round(_CAM_DECIMALS).tolist(),
            )
            for one in findings[: explain if maps else 0]
        ]
        return findings, cams


def _finding(
    name: Finding, probability: float, possible: float, likely: float
) -> FindingProbability:
    return FindingProbability(
        finding=name,
        probability=probability,
        # What is shown is what decided: the rounded probability.
        level=level_of(probability, possible, likely),
        possible_threshold=possible,
        likely_threshold=likely,
    )
