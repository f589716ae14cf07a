"""What follows from the readers' answers: findings, boxes, priority."""

from dataclasses import dataclass

from cxr_contracts import ClassifyResponse, DetectResponse, FindingProbability
from cxr_gateway.analysis.merge import ranked_findings, rescored_boxes
from cxr_gateway.analysis.rescoring import Rescoring
from cxr_gateway.analysis.triage import triage
from cxr_gateway.core.schemas import Box, Triage


@dataclass(frozen=True)
class Opinion:
    """Of one picture that at least one reader has read."""

    findings: list[FindingProbability]
    boxes: list[Box]
    triage: Triage | None


def opinion_of(
    classified: ClassifyResponse | None,
    detected: DetectResponse | None,
    rescoring: Rescoring | None,
) -> Opinion:
    """The opinion of what was answered; without any answer it is empty.

    Args:
        classified: the classifier's answer, if there is one.
        detected: the detector's.
        rescoring: for the two models that answered; without one the detector decides on the boxes.
    """
    if classified is None and detected is None:
        return Opinion([], [], None)
    findings = ranked_findings(classified)
    boxes = rescored_boxes(detected, findings, rescoring)
    return Opinion(findings, boxes, triage(findings, boxes, detector_answered=detected is not None))
