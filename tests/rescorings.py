"""Rescorings for tests: manifests with plain constants, written as training writes them."""

from pathlib import Path
from typing import Any

from cxr_contracts import (
    MANIFEST_NAME,
    ModelIdentity,
    Region,
    RegionRescoring,
    RescoringData,
    RescoringFit,
    RescoringManifest,
    finding_of_region,
)

SHA = "ab" * 32


def a_joining(
    *, classifier_sha: str = SHA, detector_sha: str = SHA, **changes: Any
) -> RescoringManifest:
    """Both logits added, shown from a rescored score of 0.5 on, down to a detector's 0.05."""
    values: dict[str, Any] = {
        "schema_version": 1,
        "role": "rescoring",
        "name": "one--other",
        "created_at": "2026-01-01T00:00:00Z",
        "licence": "AGPL-3.0-or-later",
        "classifier": ModelIdentity(name="one", version="1", sha256=classifier_sha),
        "detector": ModelIdentity(name="other", version="1", sha256=detector_sha),
        "min_score": 0.05,
        "max_boxes": 3,
        "regions": [region_joining(region) for region in Region],
        "data": RescoringData(
            split="validation", split_sha256="0" * 64, n_images=1, n_patients=1, n_boxes=1
        ),
        "fit": RescoringFit(
            command="none", commit="none", form="shared", rule_form="shared", folds=5
        ),
        "metrics": [],
    }
    return RescoringManifest(**(values | changes))


def region_joining(region: Region, **changes: Any) -> RegionRescoring:
    """Constants of one kind of box."""
    finding = finding_of_region(region)
    values: dict[str, Any] = {
        "region": region,
        "finding": finding,
        "score_weight": 1.0,
        "probability_weight": 1.0 if finding else 0.0,
        "intercept": 0.0,
        "threshold": 0.5,
        "threshold_rule": "none",
        "n_boxes": 1,
    }
    return RegionRescoring(**(values | changes))


def write_joining(folder: Path, manifest: RescoringManifest) -> Path:
    """The manifest in a folder of rescorings; its path."""
    path = folder / manifest.name / MANIFEST_NAME
    path.parent.mkdir(parents=True)
    path.write_text(manifest.model_dump_json())
    return path
