"""Joined boxes through the REST API: in the study, its pictures, its triage and the system."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from cxr_contracts import Region
from cxr_gateway.analysis.rescoring import RescoringError
from cxr_gateway.core.settings import GatewaySettings
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    ReaderStand,
    Stand,
    Unreachable,
    box,
    probabilities,
    settings_for,
    standing_gateway,
)
from support.images import png
from support.rescorings import SHA, a_joining, write_joining

# Joined from a score of 0.05 and shown from a rescored one of 0.5 on (`a_joining`).
BOXES = [
    box(Region.FRACTURE, 0.9, 1, 1, 9, 9),
    box(Region.MASS, 0.6, 10, 20, 40, 50),
    box(Region.PNEUMOTHORAX, 0.2, 50, 20, 80, 50, above_threshold=False),
]
FINDINGS = probabilities(mass=0.1, pneumothorax=0.95)


def standing(
    settings: GatewaySettings,
    *,
    findings: list[dict[str, Any]] = FINDINGS,
    boxes: list[dict[str, Any]] = BOXES,
    down: str | None = None,
) -> AbstractAsyncContextManager[Stand]:
    return standing_gateway(
        settings,
        classifier=ReaderStand("classifier", findings=findings),
        detector=ReaderStand("detector", boxes=boxes),
        transports={down: Unreachable()} if down else None,
    )


def settings_with(tmp_path: Path, **fitted_to: str) -> GatewaySettings:
    path = write_joining(tmp_path / "rescorings", a_joining(**fitted_to))
    return settings_for(tmp_path / "archive", rescoring_dir=path.parents[1])


def rescored_of(study: dict[str, Any], box: dict[str, Any]) -> float | None:
    """A box's score, if it was rescored."""
    score: float = box["score"]
    return score if study["rescoring"] else None


def shown(study: dict[str, Any]) -> list[tuple[str, float | None]]:
    return [(one["finding"], rescored_of(study, one)) for one in study["boxes"]]


async def test_a_study_holds_the_joined_boxes_and_what_they_are_made_of(tmp_path: Path) -> None:
    async with standing(settings_with(tmp_path)) as stand:
        study = (await stand.post(png())).json()
        again = (await stand.client.get(f"/api/v1/studies/{study['id']}")).json()
        system = (await stand.client.get("/api/v1/system")).json()
        assert stand.detector.queries == ["min_score=0.05"]
    # 0.2 and 0.95 make 0.83, and the mass of 0.6 and 0.1 falls to 0.14.
    assert shown(study) == [("Fracture", 0.9), ("Pneumothorax", 0.826087)]
    lifted = study["boxes"][1]
    assert (lifted["detector_score"], lifted["classifier_probability"]) == (0.2, 0.95)
    assert study["boxes"][0]["classifier_probability"] is None
    assert study["rescoring"]["name"] == "one--other"
    assert again == study
    assert system["rescoring"]["in_use"] == study["rescoring"]


async def test_without_a_joining_the_detector_decides_and_is_asked_for_no_more(
    tmp_path: Path,
) -> None:
    async with standing(settings_for(tmp_path / "archive")) as stand:
        study = (await stand.post(png())).json()
        assert stand.detector.queries == [""]
    assert shown(study) == [("Fracture", None), ("Mass", None)]
    assert study["rescoring"] is None


@pytest.mark.parametrize("other", ["classifier_sha", "detector_sha"])
async def test_a_joining_for_other_models_is_not_used_and_the_system_says_so(
    tmp_path: Path, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with standing(settings_with(tmp_path, **{other: "cd" * 32})) as stand:
        study = (await stand.post(png())).json()
        await stand.post(png(seed=2))
        system = (await stand.client.get("/api/v1/system")).json()
    assert shown(study) == [("Fracture", None), ("Mass", None)]
    assert study["rescoring"] is None
    assert [row.message for row in caplog.records].count("no rescoring for these models") == 1
    assert system["rescoring"]["in_use"] is None
    assert f"detector detector-stand 1 ({SHA[:12]})" in system["rescoring"]["detail"]


async def test_with_the_classifier_down_the_detectors_own_choice_stands(tmp_path: Path) -> None:
    async with standing(settings_with(tmp_path), down=CLASSIFIER_URL) as stand:
        study = (await stand.post(png())).json()
    assert study["status"] == "partial"
    assert shown(study) == [("Fracture", None), ("Mass", None)]
    assert study["rescoring"] is None


async def test_with_the_detector_down_nothing_is_joined(tmp_path: Path) -> None:
    async with standing(settings_with(tmp_path), down=DETECTOR_URL) as stand:
        study = (await stand.post(png())).json()
        system = (await stand.client.get("/api/v1/system")).json()
    assert (study["boxes"], study["rescoring"]) == ([], None)
    assert "An inference service does not answer" in system["rescoring"]["detail"]


async def test_triage_and_overlay_follow_the_joined_boxes(tmp_path: Path) -> None:
    findings = probabilities(nodule=0.29)
    boxes = [
        box(Region.MASS, 0.6, 10, 20, 40, 50),  # the classifier's 0.05 lets it fall
        box(Region.NODULE, 0.75, 50, 20, 80, 50, above_threshold=False),
    ]
    async with standing(settings_with(tmp_path), findings=findings, boxes=boxes) as stand:
        study = (await stand.post(png())).json()
        rescored = await stand.client.get(f"/api/v1/studies/{study['id']}/overlay.png")
    assert shown(study) == [("Nodule", 0.550633)]
    assert "Nodule with a score of 0.55, though" in study["triage"]["reason"]
    (tmp_path / "plain").mkdir()
    plain_settings = settings_for(tmp_path / "plain/archive")
    async with standing(plain_settings, findings=findings, boxes=boxes) as stand:
        study = (await stand.post(png())).json()
        plain = await stand.client.get(f"/api/v1/studies/{study['id']}/overlay.png")
    assert "Mass with a score of 0.60, though" in study["triage"]["reason"]
    assert rescored.content != plain.content


async def test_a_broken_joining_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    (path,) = settings.rescoring_dir.glob("*/manifest.json")
    path.write_text(path.read_text().replace('"Fracture"', '"Fractur"'))
    with pytest.raises(RescoringError, match=r"is no rescoring: regions.8.region: Input should be"):
        async with standing_gateway(settings):
            pass
