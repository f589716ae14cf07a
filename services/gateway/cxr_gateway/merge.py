"""What the two readers said, as one opinion."""

from collections.abc import Iterator, Mapping, Sequence

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    finding_of_region,
)
from cxr_gateway.joining import Joining, join
from cxr_gateway.schemas import Box

TOP_FINDINGS = 3
_SCORE_DECIMALS = 6


def ranked_findings(classified: ClassifyResponse | None) -> list[FindingProbability]:
    """All fourteen, most probable first; none without the classifier."""
    if classified is None:
        return []
    return sorted(classified.findings, key=lambda row: row.probability, reverse=True)


def joined_boxes(
    detected: DetectResponse | None,
    findings: Sequence[FindingProbability],
    joining: Joining | None,
) -> list[Box]:
    """The boxes to show, highest ranking score first, cut to the image.

    Each carries what the classifier says of the same finding: None where it has no such label,
    or did not answer.

    Args:
        detected: the detector's answer, if there is one.
        findings: all fourteen, or none if the classifier did not answer.
        joining: for the two models that answered; without one the detector decides.
    """
    if detected is None:
        return []
    said = {row.finding: row.probability for row in findings}
    if joining is None:
        boxes = [_box(box, detected.image, said, None) for box in detected.boxes if box.shown]
        return sorted(boxes, key=lambda box: box.score, reverse=True)
    rows = _joined(detected, said, joining)
    boxes = [_box(box, detected.image, said, joined) for box, joined in rows]
    boxes.sort(key=lambda box: box.ranking_score, reverse=True)
    return boxes[: joining.manifest.max_boxes]


def _joined(
    detected: DetectResponse, said: Mapping[Finding, float], joining: Joining
) -> Iterator[tuple[DetectedBox, float]]:
    """The boxes that reach their joined threshold, and their joined scores."""
    for box in detected.boxes:
        # Another joining may have asked for more than this one was fitted to.
        if box.score < joining.manifest.min_score:
            continue
        constants = joining.regions[box.finding]
        opinion = said[constants.finding] if constants.finding else 0.0
        # Rounded as every score is, and before the threshold: what is shown is what decided.
        joined = round(float(join(constants, box.score, opinion)), _SCORE_DECIMALS)
        if joined >= constants.threshold:
            yield box, joined


def _box(
    box: DetectedBox, size: ImageSize, said: Mapping[Finding, float], joined: float | None
) -> Box:
    same = finding_of_region(box.finding)
    return Box(
        finding=box.finding,
        joined_score=joined,
        score=box.score,
        classifier_probability=said.get(same) if same else None,
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=min(float(size.width), box.x_max),
        y_max=min(float(size.height), box.y_max),
    )
