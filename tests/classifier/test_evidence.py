"""What a classifier says of its levels and maps, from its manifest."""

import pytest

from cxr_classifier.calibration import Calibration
from cxr_classifier.evidence import evidence_of, maps_are_evidence
from cxr_contracts import (
    EvidenceLevels,
    Finding,
    Interval,
    LabelSpec,
    LevelsSource,
    MetricRow,
    ModelManifest,
    OperatingPoint,
)


def point(threshold: float) -> OperatingPoint:
    return OperatingPoint(
        threshold=threshold,
        rule="made up",
        split="test",
        n=100,
        n_positive=20,
        sensitivity=None,
        specificity=None,
        precision=Interval(value=0.5, low=0.4, high=0.6),
    )


def label(finding: Finding, threshold: float, levels: EvidenceLevels | None) -> LabelSpec:
    return LabelSpec(
        name=finding.value,
        threshold=threshold,
        threshold_rule="none",
        slope=1.0,
        intercept=0.0,
        levels=levels,
    )


def manifest(levels: EvidenceLevels | None, *metrics: MetricRow) -> ModelManifest:
    labels = [label(finding, 0.3, levels) for finding in Finding]
    return ModelManifest.model_construct(labels=labels, metrics=list(metrics), extra={})


def pointing(value: float, subset: str, split: str) -> MetricRow:
    result = Interval(value=value, low=value, high=value)
    return MetricRow(
        name="pointing_game", subset=subset, split=split, result=result, n=9, n_positive=None
    )


MEASURED = EvidenceLevels(possible=point(0.125), likely=point(0.5))


def test_measured_levels_are_told_with_what_they_mean() -> None:
    said = evidence_of(manifest(MEASURED))
    assert said.levels is LevelsSource.MEASURED
    assert [line.finding for line in said.finding_levels] == list(Finding)
    assert said.finding_levels[0].likely == MEASURED.likely


def test_an_older_model_has_levels_of_its_thresholds_and_says_so() -> None:
    said = evidence_of(manifest(None))
    assert said.levels == "derived from thresholds"
    assert said.finding_levels[0].likely is None


@pytest.mark.parametrize(
    ("threshold", "points"), [(0.3, (0.3, 0.6)), (0.7, (0.7, 1.0)), (1.0, (1.0, 1.0))]
)
def test_derived_levels_are_the_threshold_and_twice_that(
    threshold: float, points: tuple[float, float]
) -> None:
    spec = label(Finding.MASS, threshold, None)
    assert spec.level_thresholds == points
    assert label(Finding.MASS, threshold, MEASURED).level_thresholds == (0.125, 0.5)
    labels = [label(finding, threshold, None) for finding in Finding]
    assert Calibration(labels).level_thresholds == [points] * len(Finding)


def test_maps_are_evidence_if_they_beat_the_guess_that_sees_no_image() -> None:
    blind = "all/baseline=prior"
    assert maps_are_evidence(manifest(None)) is None
    assert maps_are_evidence(manifest(None, pointing(0.9, "all", "validation"))) is None
    better = pointing(0.5, "all", "validation"), pointing(0.4, blind, "validation")
    assert maps_are_evidence(manifest(None, *better)) is True
    equal = pointing(0.4, "all", "validation"), pointing(0.4, blind, "validation")
    assert maps_are_evidence(manifest(None, *equal)) is False
    # What was measured on test patients counts, where it is there.
    on_test = pointing(0.2, "all", "test"), pointing(0.4, blind, "test")
    assert maps_are_evidence(manifest(None, *better, *on_test)) is False


def test_an_imported_model_is_not_calibrated_before_its_levels_are_measured() -> None:
    assert evidence_of(manifest(None)).calibrated is False
    assert evidence_of(manifest(MEASURED)).calibrated is True
    # Older than levels, and measured.
    assert evidence_of(manifest(None, pointing(0.5, "all", "validation"))).calibrated is True
    assert evidence_of(manifest(None)).has_maps is True
    without = manifest(None).model_copy(update={"extra": {"maps": "none"}})
    assert evidence_of(without).has_maps is False
