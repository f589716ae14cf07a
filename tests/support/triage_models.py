"""Triage models for tests: manifests with plain constants, written as training writes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_contracts import (
    MANIFEST_NAME,
    NO_BOX_SCORE,
    Finding,
    Interval,
    MetricRow,
    ModelIdentity,
    Region,
    TriageData,
    TriageFit,
    TriageManifest,
    TriageScore,
    TriageTerm,
)
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY
from cxr_gateway.analysis.triage_folder import TriageModel
from cxr_gateway.analysis.triage_model import TriageInUse, TriageThresholds

SHA = "ab" * 32
# Scores are spread evenly over 0..1, so a budget's threshold can be read off.
EVEN = [step / 100 for step in range(101)]
USUAL = 0.05


def finding_term(finding: Finding, weight: float = 1.0, usual: float = USUAL) -> TriageTerm:
    """A finding's probability as a term."""
    return TriageTerm(finding=finding, region=None, weight=weight, usual=usual)


def region_term(region: Region, weight: float = 1.0, usual: float = NO_BOX_SCORE) -> TriageTerm:
    """The best box of a region as a term."""
    return TriageTerm(finding=None, region=region, weight=weight, usual=usual)


def a_score(findings: Sequence[Finding], *regions: Region) -> TriageScore:
    """The probability of at least one of these, the boxes of `regions` among what is asked."""
    terms = [finding_term(finding) for finding in findings]
    terms += [region_term(region) for region in regions]
    return TriageScore(findings=list(findings), terms=terms, quantiles=EVEN)


def a_triage_model(
    *, classifier_sha: str = SHA, detector_sha: str = SHA, **changes: Any
) -> TriageManifest:
    """Weights of one; urgent from 0.9 on and soon from 0.65 on, at the default budgets."""
    values: dict[str, Any] = {
        "schema_version": 1,
        "role": "triage",
        "name": "one--other",
        "created_at": "2026-01-01T00:00:00Z",
        "licence": "AGPL-3.0-or-later",
        "classifier": ModelIdentity(name="one", version="1", sha256=classifier_sha),
        "detector": ModelIdentity(name="other", version="1", sha256=detector_sha),
        "immediate": a_score(IMMEDIATE, Region.PNEUMOTHORAX),
        "same_day": a_score((*IMMEDIATE, *SAME_DAY), Region.PNEUMOTHORAX, Region.MASS),
        "data": TriageData(split="validation", split_sha256="0" * 64, n_images=1, n_patients=1),
        "fit": TriageFit(command="none", commit="none", form="or", folds=5),
        "metrics": [
            measured("precision_immediate", "urgent", n=100, n_positive=40),
            measured("precision_same_day", "urgent", n=100, n_positive=70),
            measured("precision_immediate", "routine", n=500, n_positive=10),
            measured("precision_same_day", "routine", n=500, n_positive=100),
            # What was measured on the patients of the fit is not shown.
            measured("precision_immediate", "soon", n=9, n_positive=9, split="validation"),
            measured("precision_same_day", "soon", n=9, n_positive=9, split="validation"),
        ],
    }
    return TriageManifest(**(values | changes))


def measured(name: str, subset: str, *, n: int, n_positive: int, split: str = "test") -> MetricRow:
    """A share of `n`, without an interval worth the name."""
    share = n_positive / n
    result = Interval(value=share, low=share, high=share)
    return MetricRow(
        name=name, subset=subset, split=split, result=result, n=n, n_positive=n_positive
    )


def in_use(urgent: float = 0.9, soon: float = 0.65, **changes: Any) -> TriageInUse:
    """A model with thresholds."""
    model = TriageModel(a_triage_model(**changes), "0" * 64)
    return TriageInUse(model, TriageThresholds(urgent, soon))


def write_triage_model(folder: Path, manifest: TriageManifest) -> Path:
    """The manifest in a folder of triage models; its path."""
    path = folder / manifest.name / MANIFEST_NAME
    path.parent.mkdir(parents=True)
    path.write_text(manifest.model_dump_json())
    return path
