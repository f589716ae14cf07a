"""What follows from the readers' answers: findings, boxes, priority."""

from dataclasses import dataclass

from cxr_contracts import ClassifyResponse, DetectResponse, FindingProbability
from cxr_gateway.joining import Joining
from cxr_gateway.merge import joined_boxes, ranked_findings
from cxr_gateway.schemas import Box, Triage
from cxr_gateway.triage import triage


@dataclass(frozen=True)
class Opinion:
    """Of one picture that at least one reader has read."""

    findings: list[FindingProbability]
    boxes: list[Box]
    triage: Triage | None


def opinion_of(
    classified: ClassifyResponse | None, detected: DetectResponse | None, joining: Joining | None
) -> Opinion:
    """The opinion of what was answered; without any answer it is empty.

    Args:
        classified: the classifier's answer, if there is one.
        detected: the detector's.
        joining: for the two models that answered; without one the detector decides on the boxes.
    """
    if classified is None and detected is None:
        return Opinion([], [], None)
    findings = ranked_findings(classified)
    boxes = joined_boxes(detected, findings, joining)
    return Opinion(findings, boxes, triage(findings, boxes, detector_answered=detected is not None))
