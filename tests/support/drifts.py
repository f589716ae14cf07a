"""References and radiographs for tests of drift: counts that can be reckoned by hand."""

from pathlib import Path
from typing import Any

from cxr_contracts import (
    CATEGORIES,
    REFERENCE_NAME,
    STATISTICS,
    CategoryReference,
    DriftReference,
    ModelIdentity,
    NumberReference,
    ReferenceData,
    StatisticReference,
)

OOD_SHA = CLASSIFIER_SHA = "ab" * 32


def a_reference(**changes: StatisticReference) -> DriftReference:
    """Numbers half below 0.5 and half from there on; three PNG files, PA views and some AP."""
    statistics: dict[str, StatisticReference] = {
        name: NumberReference(kind="number", name=name, edges=[0.5], counts=[50, 50])
        for name in STATISTICS
        if name not in CATEGORIES
    }
    statistics["source"] = words("source", png=3)
    statistics["view"] = words("view", PA=75, AP=25)
    return DriftReference(
        schema_version=1,
        role="reference",
        name="rule-ood--stand",
        created_at="2026-01-01T00:00:00Z",
        licence="AGPL-3.0-or-later",
        ood=ModelIdentity(name="rule-ood", version="1", sha256=OOD_SHA),
        classifier=ModelIdentity(name="classifier-stand", version="1", sha256=CLASSIFIER_SHA),
        data=ReferenceData(
            split="validation", split_sha256="0" * 64, n_images=100, n_accepted=100, n_patients=90
        ),
        command="none",
        commit="none",
        statistics=list((statistics | changes).values()),
    )


def words(name: str, **counts: int) -> CategoryReference:
    """Counts of each word."""
    return CategoryReference(
        kind="category", name=name, categories=list(counts), counts=list(counts.values())
    )


def write_reference(folder: Path, reference: DriftReference) -> Path:
    """The reference in a folder of references; that folder."""
    path = folder / reference.name / REFERENCE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(reference.model_dump_json())
    return folder


def named(report: dict[str, Any], name: str) -> dict[str, Any]:
    """One statistic of a report."""
    [found] = [one for one in report["statistics"] if one["name"] == name]
    assert isinstance(found, dict)
    return found
