"""Boxes through the REST API: which are shown, in which order, and what their numbers are."""

from pathlib import Path

from cxr_contracts import Region
from support.fake_gateway import (
    CLASSIFIER_URL,
    FakeService,
    Unreachable,
    box,
    probabilities,
    running_gateway,
    settings_for,
)
from support.images import png

BOXES = [
    box(Region.MASS, 0.6, 10, 20, 40, 50, probability=0.31),
    box(Region.FRACTURE, 0.3, 1, 1, 9, 9, probability=0.44),
    box(Region.PNEUMOTHORAX, 0.2, 50, 20, 80, 50, probability=0.2, above_threshold=False),
]


async def test_a_study_says_how_likely_each_box_is_right(tmp_path: Path) -> None:
    async with running_gateway(
        settings_for(tmp_path / "archive"),
        classifier=FakeService("classifier", findings=probabilities(mass=0.1)),
        detector=FakeService("detector", boxes=BOXES),
    ) as gateway:
        study = (await gateway.post(png())).json()
        again = (await gateway.client.get(f"/api/v1/studies/{study['id']}")).json()
        assert gateway.detector.queries == [""]
    assert [
        (one["finding"], one["score"], one["detector_score"], one["classifier_probability"])
        for one in study["boxes"]
    ] == [("Fracture", 0.44, 0.3, None), ("Mass", 0.31, 0.6, 0.1)]
    assert study["rescoring"] is None
    assert again == study


async def test_with_the_classifier_down_the_boxes_stay_as_they_are(tmp_path: Path) -> None:
    async with running_gateway(
        settings_for(tmp_path / "archive"),
        detector=FakeService("detector", boxes=BOXES),
        transports={CLASSIFIER_URL: Unreachable()},
    ) as gateway:
        study = (await gateway.post(png())).json()
    assert study["status"] == "partial"
    assert [(one["finding"], one["score"]) for one in study["boxes"]] == [
        ("Fracture", 0.44),
        ("Mass", 0.31),
    ]
    assert {one["classifier_probability"] for one in study["boxes"]} == {None}


async def test_a_detector_that_was_not_calibrated_is_shown_by_its_own_scores(
    tmp_path: Path,
) -> None:
    boxes = [box(Region.MASS, 0.6, 10, 20, 40, 50), box(Region.FRACTURE, 0.9, 1, 1, 9, 9)]
    async with running_gateway(
        settings_for(tmp_path / "archive"), detector=FakeService("detector", boxes=boxes)
    ) as gateway:
        study = (await gateway.post(png())).json()
    assert [(one["score"], one["detector_score"]) for one in study["boxes"]] == [
        (0.9, 0.9),
        (0.6, 0.6),
    ]
