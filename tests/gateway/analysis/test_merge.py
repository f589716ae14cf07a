"""Merging what both services said."""

from cxr_contracts import (
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    Finding,
    FindingProbability,
    ImageSize,
    Level,
    ModelIdentity,
    Region,
    level_of,
)
from cxr_gateway.analysis.merge import merged_boxes, ranked_findings

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def classified(*probabilities: tuple[Finding, float]) -> ClassifyResponse:
    rows = [
        FindingProbability(
            finding=finding,
            probability=value,
            level=level_of(value, 0.5, 0.8),
            possible_threshold=0.5,
            likely_threshold=0.8,
        )
        for finding, value in probabilities
    ]
    return ClassifyResponse(model=MODEL, findings=rows, cams=[])


def detected(*boxes: DetectedBox) -> DetectResponse:
    return DetectResponse(model=MODEL, image=ImageSize(width=100, height=80), boxes=list(boxes))


def box(
    finding: Region,
    score: float,
    x_min: float = 1,
    x_max: float = 9,
    *,
    above_threshold: bool = True,
    probability: float | None = None,
) -> DetectedBox:
    return DetectedBox(
        finding=finding,
        score=score,
        probability=probability,
        above_threshold=above_threshold,
        x_min=x_min,
        y_min=2,
        x_max=x_max,
        y_max=8,
    )


def said(**given: float) -> list[FindingProbability]:
    rows = [(finding, given.get(finding.name.lower(), 0.5)) for finding in Finding]
    return ranked_findings(classified(*rows))


def test_findings_come_by_level_then_probability_in_whatever_order_they_were_sent() -> None:
    answer = classified((Finding.MASS, 0.1), (Finding.EDEMA, 0.9), (Finding.HERNIA, 0.4))
    rare = FindingProbability(
        finding=Finding.PNEUMONIA,
        probability=0.06,
        level=Level.LIKELY,
        possible_threshold=0.02,
        likely_threshold=0.05,
    )
    answer = answer.model_copy(update={"findings": [*answer.findings, rare]})
    ranked = [row.finding for row in ranked_findings(answer)]
    assert ranked == ["Edema", "Pneumonia", "Hernia", "Mass"]


def test_boxes_come_highest_score_first_with_the_classifiers_probability() -> None:
    findings = ranked_findings(classified((Finding.MASS, 0.3), (Finding.NODULE, 0.6)))
    answer = detected(
        box(Region.FRACTURE, 0.2), box(Region.MASS, 0.5), box(Region.DIFFUSE_NODULE, 0.9)
    )
    merged = merged_boxes(answer, findings)
    assert [(one.finding, one.classifier_probability) for one in merged] == [
        (Region.DIFFUSE_NODULE, 0.6),  # a diffuse nodule is a nodule to the classifier
        (Region.MASS, 0.3),
        (Region.FRACTURE, None),  # which the classifier does not know
    ]


def test_without_the_classifier_boxes_carry_no_probability() -> None:
    (merged,) = merged_boxes(detected(box(Region.MASS, 0.5)), ranked_findings(None))
    assert merged.classifier_probability is None


def test_boxes_are_cut_to_the_image() -> None:
    (merged,) = merged_boxes(detected(box(Region.MASS, 0.5, x_min=-0.5, x_max=100.75)), [])
    assert (merged.x_min, merged.x_max) == (0.0, 100.0)


def test_without_the_detector_there_are_no_boxes() -> None:
    assert merged_boxes(None, []) == []


def test_the_detectors_choice_stands_and_its_score_where_it_was_not_calibrated() -> None:
    answer = detected(
        box(Region.NODULE, 0.2, above_threshold=False),
        box(Region.FRACTURE, 0.3),
        box(Region.MASS, 0.6),
    )
    boxes = merged_boxes(answer, said(mass=0.1, nodule=0.9))
    assert [(one.finding, one.detector_score, one.score) for one in boxes] == [
        (Region.MASS, 0.6, 0.6),
        (Region.FRACTURE, 0.3, 0.3),
    ]


def test_how_likely_a_box_is_right_is_its_score_and_orders_the_boxes() -> None:
    answer = detected(
        box(Region.MASS, 0.6, probability=0.3),
        box(Region.FRACTURE, 0.4, probability=0.45),
        box(Region.NODULE, 0.2, probability=0.9, above_threshold=False),
    )
    boxes = merged_boxes(answer, said())
    assert [(one.finding, one.detector_score, one.score) for one in boxes] == [
        (Region.FRACTURE, 0.4, 0.45),
        (Region.MASS, 0.6, 0.3),
    ]


def test_the_box_that_decides_is_shown_in_its_place_once() -> None:
    hidden = box(Region.NODULE, 0.2, probability=0.4, above_threshold=False)
    answer = detected(
        box(Region.MASS, 0.6, probability=0.5), hidden, box(Region.FRACTURE, 0.4, probability=0.3)
    )
    boxes = merged_boxes(answer, said(), deciding=hidden)
    assert [one.finding for one in boxes] == [Region.MASS, Region.NODULE, Region.FRACTURE]
    again = merged_boxes(answer, said(), deciding=answer.boxes[0])
    assert [one.finding for one in again] == [Region.MASS, Region.FRACTURE]
