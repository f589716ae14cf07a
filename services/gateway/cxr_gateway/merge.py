"""What the two readers said, as one opinion."""

from collections.abc import Sequence

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    FindingProbability,
    finding_of_region,
)
from cxr_gateway.schemas import Box

TOP_FINDINGS = 3


def ranked_findings(classified: ClassifyResponse | None) -> list[FindingProbability]:
    """All fourteen, most probable first; none without the classifier."""
    if classified is None:
        return []
    return sorted(classified.findings, key=lambda row: row.probability, reverse=True)


def joined_boxes(
    detected: DetectResponse | None, findings: Sequence[FindingProbability]
) -> list[Box]:
    """The detector's boxes, highest score first, cut to the image.

    Each carries what the classifier says of the same finding: None where it has no such label,
    or did not answer.
    """
    if detected is None:
        return []
    said = {row.finding: row.probability for row in findings}
    size = (detected.image.width, detected.image.height)
    boxes = sorted(detected.boxes, key=lambda box: box.score, reverse=True)
    return [
        _box(box, size, said.get(finding) if (finding := finding_of_region(box.finding)) else None)
        for box in boxes
    ]


def _box(box: DetectedBox, size: tuple[int, int], probability: float | None) -> Box:
    width, height = size
    return Box(
        finding=box.finding,
        score=box.score,
        classifier_probability=probability,
        x_min=max(0.0, box.x_min),
        y_min=max(0.0, box.y_min),
        x_max=min(float(width), box.x_max),
        y_max=min(float(height), box.y_max),
    )
