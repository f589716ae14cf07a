"""What the two inference services answered, merged into one prediction of a study."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    finding_of_region,
)
from cxr_gateway.analysis.rescoring import Rescoring, join
from cxr_gateway.analysis.triage import triage
from cxr_gateway.core.schemas import Box, Triage

TOP_FINDINGS = 3
_SCORE_DECIMALS = 6


@dataclass(frozen=True)
class Prediction:
    """Of one image that at least one inference service has read."""

    findings: list[FindingProbability]
    boxes: list[Box]
    triage: Triage | None


def predict(
    classified: ClassifyResponse | None,
    detected: DetectResponse | None,
    rescoring: Rescoring | None,
) -> Prediction:
    """The prediction of what was answered; without any answer it is empty.

    Args:
        classified: the classifier's answer, if there is one.
        detected: the detector's.
        rescoring: for the two models that answered; without one the detector decides on the boxes.
    """
    if classified is None and detected is None:
        return Prediction([], [], None)
    findings = ranked_findings(classified)
    boxes = merged_boxes(detected, findings, rescoring)
    return Prediction(
        findings, boxes, triage(findings, boxes, detector_answered=detected is not None)
    )


def ranked_findings(classified: ClassifyResponse | None) -> list[FindingProbability]:
    """All fourteen, most probable first; none without the classifier."""
    if classified is None:
        return []
    return sorted(classified.findings, key=lambda row: row.probability, reverse=True)


def merged_boxes(
    detected: DetectResponse | None,
    findings: Sequence[FindingProbability],
    rescoring: Rescoring | None,
) -> list[Box]:
    """The boxes to show, highest ranking score first, cut to the image.

    Each carries what the classifier says of the same finding: None where it has no such label,
    or did not answer.

    Args:
        detected: the detector's answer, if there is one.
        findings: all fourteen, or none if the classifier did not answer.
        rescoring: for the two models that answered; without one the detector decides.
    """
    if detected is None:
        return []
    said = {row.finding: row.probability for row in findings}
    if rescoring is None:
        boxes = [
            _box(box, detected.image, said, None) for box in detected.boxes if box.above_threshold
        ]
        return sorted(boxes, key=lambda box: box.score, reverse=True)
    rows = _rescored(detected, said, rescoring)
    boxes = [_box(box, detected.image, said, rescored) for box, rescored in rows]
    boxes.sort(key=lambda box: box.score, reverse=True)
    return boxes[: rescoring.manifest.max_boxes]


def _rescored(
    detected: DetectResponse, said: Mapping[Finding, float], rescoring: Rescoring
) -> Iterator[tuple[DetectedBox, float]]:
    """The boxes that reach their rescored threshold, and their rescored scores."""
    for box in detected.boxes:
        # Another rescoring may have asked for more than this one was fitted to.
        if box.score < rescoring.manifest.min_score:
            continue
        constants = rescoring.regions[box.finding]
        prediction = said[constants.finding] if constants.finding else 0.0
        # Rounded as every score is, and before the threshold: what is shown is what decided.
        rescored = round(float(join(constants, box.score, prediction)), _SCORE_DECIMALS)
        if rescored >= constants.threshold:
            yield box, rescored


def _box(
    box: DetectedBox, size: ImageSize, said: Mapping[Finding, float], rescored: float | None
) -> Box:
    same = finding_of_region(box.finding)
    return Box(
        finding=box.finding,
        score=box.score if rescored is None else rescored,
        detector_score=box.score,
        classifier_probability=said.get(same) if same else None,
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=min(float(size.width), box.x_max),
        y_max=min(float(size.height), box.y_max),
    )
