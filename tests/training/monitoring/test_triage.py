"""The fitted triage model: it finds what was planted, keeps its promises, and is measured right."""

from collections.abc import Sequence

import numpy as np
import pytest

from cxr_contracts import Finding, MetricRow, ModelIdentity, Region
from cxr_training.data.splits import Split
from cxr_training.monitoring.triage import (
    FINDINGS,
    FORMS,
    INDEPENDENT,
    REGIONS,
    WITH_BOXES,
    Answers,
    TriageImages,
    fit_triage,
    measure,
    with_measured,
)

CLASSIFIER = ModelIdentity(name="classifier", version="1", sha256="a" * 64)
DETECTOR = ModelIdentity(name="detector", version="1", sha256="b" * 64)


def _images(n: int = 1500, *, boxes_know: bool = False, seed: int = 0) -> TriageImages:
    """Images of calibrated probabilities; with `boxes_know` the boxes alone know a pneumothorax."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.5, 6.0, size=(n, len(FINDINGS)))
    truth = rng.uniform(size=probabilities.shape) < probabilities
    scores = np.full((n, len(REGIONS)), 0.05)
    if boxes_know:
        column = FINDINGS.index(Finding.PNEUMOTHORAX)
        truth[:, column] = rng.uniform(size=n) < 0.1
        probabilities[:, column] = 0.1
        sure = np.where(truth[:, column], 0.8, 0.05)
        scores[:, REGIONS.index(Region.PNEUMOTHORAX)] = sure
    findings = [
        frozenset(finding for finding, is_there in zip(FINDINGS, row, strict=True) if is_there)
        for row in truth
    ]
    return TriageImages(
        Answers(probabilities, scores),
        [f"{number // 2:08d}" for number in range(n)],
        findings,
        np.array([not one for one in findings]) & (rng.uniform(size=n) < 0.5),
        np.where(rng.uniform(size=n) < 0.5, "PA", "AP"),
    )


def _value(rows: Sequence[MetricRow], name: str, subset: str) -> float:
    (row,) = [row for row in rows if (row.name, row.subset) == (name, subset)]
    return row.result.value


def test_calibrated_and_independent_findings_need_no_weights() -> None:
    manifest = fit_triage(_images(), CLASSIFIER, DETECTOR, "c" * 64)
    assert manifest.fit.form == INDEPENDENT
    assert {term.weight for term in manifest.immediate.terms} == {1.0}
    assert {term.finding for term in manifest.immediate.terms} == {
        Finding.PNEUMOTHORAX,
        Finding.EDEMA,
    }


def test_boxes_are_taken_where_they_know_more() -> None:
    manifest = fit_triage(_images(boxes_know=True), CLASSIFIER, DETECTOR, "c" * 64)
    assert manifest.fit.form == WITH_BOXES
    (box,) = [term for term in manifest.immediate.terms if term.region]
    assert box.region is Region.PNEUMOTHORAX
    assert box.weight > 0
    losses = {row.subset: row.result.value for row in manifest.metrics if row.name == "log_loss"}
    assert set(losses) == {f"{kind}/{form}" for kind in ("immediate", "same_day") for form in FORMS}


def test_the_budgets_are_the_shares_of_the_images_of_the_fit() -> None:
    manifest = fit_triage(_images(), CLASSIFIER, DETECTOR, "c" * 64)
    assert _value(manifest.metrics, "share", "urgent") == pytest.approx(0.10, abs=0.005)
    called = sum(_value(manifest.metrics, "share", one) for one in ("urgent", "soon"))
    assert called == pytest.approx(0.35, abs=0.04)


def test_figures_of_other_images_stand_beside_those_of_the_fit() -> None:
    manifest = fit_triage(_images(), CLASSIFIER, DETECTOR, "c" * 64)
    others = _images(seed=1)
    rows = measure(others, manifest, Split.TEST)
    both = with_measured(manifest, rows)
    assert {row.split for row in both.metrics} == {"validation", "test"}
    assert with_measured(both, rows) == both
    # Urgent images are the likelier ones to have an immediate finding, by construction.
    assert _value(rows, "lift_immediate", "urgent") > 1.5
    assert _value(rows, "auroc_immediate", "all") > 0.7
    shares = [_value(rows, "share", one) for one in ("urgent", "soon", "routine")]
    assert sum(shares) == pytest.approx(1.0)
    immediate = others.having([Finding.PNEUMOTHORAX, Finding.EDEMA])
    (row,) = [one for one in rows if (one.name, one.subset) == ("precision_immediate", "routine")]
    score = others.scores(manifest.immediate)
    urgent = score >= manifest.immediate.threshold(0.10)
    soon = others.scores(manifest.same_day) >= manifest.same_day.threshold(0.35)
    assert row.n_positive == int((immediate & ~urgent & ~soon).sum())
