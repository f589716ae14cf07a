"""From the network's logits and maps to findings with probabilities and operating points."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import CamGrid, Finding, FindingProbability, LabelSpec

# Decimals of a map's value: a heat map has 256 steps, a logit spans some ten units.
_CAM_DECIMALS = 4
_PROBABILITY_DECIMALS = 6


class Calibration:
    """The labels of a classifier with their Platt scaling and thresholds.

    Raises:
        ValueError: The labels are not the fourteen findings, each once.
    """

    def __init__(self, labels: list[LabelSpec]) -> None:
        names = [label.name for label in labels]
        if sorted(names) != sorted(finding.value for finding in Finding):
            raise ValueError(f"the labels are not the fourteen findings, each once: {names}")
        self.findings = [Finding(name) for name in names]
        self.thresholds = [label.threshold for label in labels]
        self._slopes = np.array([label.slope for label in labels])
        self._intercepts = np.array([label.intercept for label in labels])

    def probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Calibrated probabilities [L] of `logits` [L]: sigmoid(slope * logit + intercept)."""
        # tanh does not overflow, however far a logit lies.
        halves: npt.NDArray[np.float64] = 0.5 * (self._slopes * logits + self._intercepts)
        return 0.5 * (1.0 + np.tanh(halves))


@dataclass(frozen=True)
class ClassifierOutput:
    """What the network says of one image: logits [L] and maps [L, h, w], float32."""

    calibration: Calibration
    logits: npt.NDArray[np.float32]
    cams: npt.NDArray[np.float32]

    def findings_and_cams(self, explain: int) -> tuple[list[FindingProbability], list[CamGrid]]:
        """All findings, most probable first, and the maps of the first `explain` of them."""
        names, thresholds = self.calibration.findings, self.calibration.thresholds
        probabilities = self.calibration.probabilities(self.logits)
        order = np.argsort(-probabilities, kind="stable").tolist()
        rounded = probabilities.round(_PROBABILITY_DECIMALS).tolist()
        findings = [
            FindingProbability(
                finding=names[index],
                probability=rounded[index],
                threshold=thresholds[index],
                positive=rounded[index] >= thresholds[index],
            )
            for index in order
        ]
        cams = [
            CamGrid(
                finding=names[index],
                values=self.cams[index].astype(np.float64).round(_CAM_DECIMALS).tolist(),
            )
            for index in order[:explain]
        ]
        return findings, cams
