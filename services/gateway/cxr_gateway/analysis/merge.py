"""What the two inference services answered, merged into one prediction of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    evidence_order,
    finding_of_region,
)
from cxr_gateway.analysis.triage import triage, triage_by_score
from cxr_gateway.analysis.triage_model import TriageInUse
from cxr_gateway.core.schemas import Box, Triage

TOP_FINDINGS = 3


@dataclass(frozen=True)
class Prediction:
    """Of one image that at least one inference service has read."""

    findings: list[FindingProbability]
    boxes: list[Box]
    triage: Triage | None


def predict(
    classified: ClassifyResponse | None,
    detected: DetectResponse | None,
    triage_in_use: TriageInUse | None,
) -> Prediction:
    """The prediction of what was answered; without any answer it is empty.

    Args:
        classified: the classifier's answer, if there is one.
        detected: the detector's.
        triage_in_use: for the two models that answered; without one evidence levels decide.
    """
    if classified is None and detected is None:
        return Prediction([], [], None)
    findings = ranked_findings(classified)
    if triage_in_use is None or not findings or detected is None:
        boxes = merged_boxes(detected, findings)
        by_levels = triage(findings, boxes, detector_answered=detected is not None)
        return Prediction(findings, boxes, by_levels)
    scored = triage_in_use.scored(findings, detected)
    boxes = merged_boxes(detected, findings, deciding=scored.box)
    return Prediction(findings, boxes, triage_by_score(scored, triage_in_use, findings, boxes))


def ranked_findings(classified: ClassifyResponse | None) -> list[FindingProbability]:
    """All fourteen, the strongest evidence first; none without the classifier."""
    if classified is None:
        return []
    return sorted(classified.findings, key=lambda row: evidence_order(row.level, row.probability))


def merged_boxes(
    detected: DetectResponse | None,
    findings: Sequence[FindingProbability],
    deciding: DetectedBox | None = None,
) -> list[Box]:
    """The boxes to show, highest score first, cut to the image.

    Each carries what the classifier says of the same finding: None where it has no such label,
    or did not answer.

    Args:
        detected: the detector's answer, if there is one.
        findings: all fourteen, or none if the classifier did not answer.
        deciding: the box that decided on the priority; it is shown, whatever its score.
    """
    if detected is None:
        return []
    said = {row.finding: row.probability for row in findings}
    shown = [box for box in detected.boxes if box.above_threshold or box is deciding]
    boxes = [_box(box, detected.image, said) for box in shown]
    return sorted(boxes, key=lambda box: box.score, reverse=True)


def _box(box: DetectedBox, size: ImageSize, said: Mapping[Finding, float]) -> Box:
    same = finding_of_region(box.finding)
    return Box(
        finding=box.finding,
        score=box.score if box.probability is None else box.probability,
        detector_score=box.score,
        classifier_probability=said.get(same) if same else None,
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=min(float(size.width), box.x_max),
        y_max=min(float(size.height), box.y_max),
    )
