"""Merging what both readers said."""

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    ModelIdentity,
    Region,
)
from cxr_gateway.merge import joined_boxes, ranked_findings

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def classified(*probabilities: tuple[Finding, float]) -> ClassifyResponse:
    rows = [
        FindingProbability(finding=finding, probability=value, threshold=0.5, positive=value >= 0.5)
        for finding, value in probabilities
    ]
    return ClassifyResponse(model=MODEL, findings=rows, cams=[])


def detected(*boxes: DetectedBox) -> DetectResponse:
    return DetectResponse(model=MODEL, image=ImageSize(width=100, height=80), boxes=list(boxes))


def box(finding: Region, score: float, x_min: float = 1, x_max: float = 9) -> DetectedBox:
    return DetectedBox(finding=finding, score=score, x_min=x_min, y_min=2, x_max=x_max, y_max=8)


def test_findings_come_most_probable_first_in_whatever_order_they_were_sent() -> None:
    answer = classified((Finding.MASS, 0.1), (Finding.EDEMA, 0.9), (Finding.HERNIA, 0.4))
    assert [row.finding for row in ranked_findings(answer)] == ["Edema", "Hernia", "Mass"]


def test_boxes_come_highest_score_first_with_the_classifiers_opinion() -> None:
    findings = ranked_findings(classified((Finding.MASS, 0.3), (Finding.NODULE, 0.6)))
    answer = detected(
        box(Region.FRACTURE, 0.2), box(Region.MASS, 0.5), box(Region.DIFFUSE_NODULE, 0.9)
    )
    joined = joined_boxes(answer, findings)
    assert [(one.finding, one.classifier_probability) for one in joined] == [
        (Region.DIFFUSE_NODULE, 0.6),  # a diffuse nodule is a nodule to the classifier
        (Region.MASS, 0.3),
        (Region.FRACTURE, None),  # which the classifier does not know
    ]


def test_without_the_classifier_boxes_carry_no_opinion() -> None:
    (joined,) = joined_boxes(detected(box(Region.MASS, 0.5)), ranked_findings(None))
    assert joined.classifier_probability is None


def test_boxes_are_cut_to_the_image() -> None:
    (joined,) = joined_boxes(detected(box(Region.MASS, 0.5, x_min=-0.5, x_max=100.75)), [])
    assert (joined.x_min, joined.x_max) == (0.0, 100.0)


def test_without_the_detector_there_are_no_boxes() -> None:
    assert joined_boxes(None, []) == []
