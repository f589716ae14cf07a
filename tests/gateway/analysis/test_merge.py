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
from cxr_gateway.analysis.merge import merged_boxes, ranked_findings
from cxr_gateway.analysis.rescoring import Rescoring
from support.rescorings import a_joining

MODEL = ModelIdentity(name="m", version="1", sha256="0" * 64)


def classified(*probabilities: tuple[Finding, float]) -> ClassifyResponse:
    rows = [
        FindingProbability(finding=finding, probability=value, threshold=0.5, positive=value >= 0.5)
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
) -> DetectedBox:
    return DetectedBox(
        finding=finding,
        score=score,
        above_threshold=above_threshold,
        x_min=x_min,
        y_min=2,
        x_max=x_max,
        y_max=8,
    )


# Both logits added, shown from a rescored score of 0.5 on; at most three boxes.
JOINING = Rescoring(a_joining(), "0" * 64)


def said(**given: float) -> list[FindingProbability]:
    rows = [(finding, given.get(finding.name.lower(), 0.5)) for finding in Finding]
    return ranked_findings(classified(*rows))


def test_findings_come_most_probable_first_in_whatever_order_they_were_sent() -> None:
    answer = classified((Finding.MASS, 0.1), (Finding.EDEMA, 0.9), (Finding.HERNIA, 0.4))
    assert [row.finding for row in ranked_findings(answer)] == ["Edema", "Hernia", "Mass"]


def test_boxes_come_highest_score_first_with_the_classifiers_opinion() -> None:
    findings = ranked_findings(classified((Finding.MASS, 0.3), (Finding.NODULE, 0.6)))
    answer = detected(
        box(Region.FRACTURE, 0.2), box(Region.MASS, 0.5), box(Region.DIFFUSE_NODULE, 0.9)
    )
    rescored = merged_boxes(answer, findings, None)
    assert [(one.finding, one.classifier_probability) for one in rescored] == [
        (Region.DIFFUSE_NODULE, 0.6),  # a diffuse nodule is a nodule to the classifier
        (Region.MASS, 0.3),
        (Region.FRACTURE, None),  # which the classifier does not know
    ]


def test_without_the_classifier_boxes_carry_no_opinion() -> None:
    (rescored,) = merged_boxes(detected(box(Region.MASS, 0.5)), ranked_findings(None), None)
    assert rescored.classifier_probability is None


def test_boxes_are_cut_to_the_image() -> None:
    (rescored,) = merged_boxes(detected(box(Region.MASS, 0.5, x_min=-0.5, x_max=100.75)), [], None)
    assert (rescored.x_min, rescored.x_max) == (0.0, 100.0)


def test_without_the_detector_there_are_no_boxes() -> None:
    assert merged_boxes(None, [], None) == []


def test_joined_scores_choose_and_order_the_boxes() -> None:
    answer = detected(
        box(Region.MASS, 0.6),  # 0.6 and 0.1: 0.14, dropped
        box(Region.NODULE, 0.2, above_threshold=False),  # 0.2 and 0.9: 0.69, lifted
        box(Region.FRACTURE, 0.55),  # which the classifier does not know
        box(Region.FRACTURE, 0.45),
    )
    boxes = merged_boxes(answer, said(mass=0.1, nodule=0.9), JOINING)
    assert [(one.finding, one.detector_score, one.score) for one in boxes] == [
        (Region.NODULE, 0.2, 0.692308),
        (Region.FRACTURE, 0.55, 0.55),
    ]
    assert boxes[0].classifier_probability == 0.9


def test_without_a_joining_the_detectors_own_choice_and_order_stand() -> None:
    answer = detected(
        box(Region.NODULE, 0.2, above_threshold=False),
        box(Region.FRACTURE, 0.3),
        box(Region.MASS, 0.6),
    )
    boxes = merged_boxes(answer, said(mass=0.1, nodule=0.9), None)
    assert [(one.finding, one.detector_score, one.score) for one in boxes] == [
        (Region.MASS, 0.6, 0.6),
        (Region.FRACTURE, 0.3, 0.3),
    ]


def test_a_joined_score_at_its_threshold_is_shown() -> None:
    (shown,) = merged_boxes(detected(box(Region.MASS, 0.5)), said(mass=0.5), JOINING)
    assert shown.score == 0.5


def test_the_best_joined_boxes_are_kept_when_there_are_too_many() -> None:
    answer = detected(*(box(Region.FRACTURE, score) for score in (0.5, 0.9, 0.6, 0.8, 0.7)))
    boxes = merged_boxes(answer, said(), JOINING)
    assert [one.score for one in boxes] == [0.9, 0.8, 0.7]


def test_boxes_below_what_the_joining_was_fitted_to_are_left_out() -> None:
    answer = detected(box(Region.MASS, 0.04, above_threshold=False))
    assert merged_boxes(answer, said(mass=0.9999), JOINING) == []
