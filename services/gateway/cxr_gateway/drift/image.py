"""The numbers of one film, as they are kept beside its study and as a reference is made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from cxr_contracts import NUMBERS, Finding, FindingProbability
from cxr_gateway.core.schemas import Gate, ImageMetadata, Study, UsedModel
from cxr_gateway.drift.measures import ImageStatistics

# A file may say anything of its view; what is frontal has two.
_VIEWS = ("PA", "AP")
# A PNG or JPEG file says nothing of its view; then there is nothing to compare.
UNKNOWN_VIEW = "unknown"


def week_of(moment: datetime) -> str:
    """The ISO week in UTC, e.g. `2026-W47`."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{year}-W{week:02}"


def view_of(view: str | None) -> str:
    """`PA`, `AP`, `other`, or `UNKNOWN_VIEW` where the file is silent."""
    if not view:
        return UNKNOWN_VIEW
    return view if view in _VIEWS else "other"


def numbers_of(
    image: ImageMetadata,
    gate: Gate,
    measures: ImageStatistics,
    findings: Sequence[FindingProbability],
) -> list[float | None]:
    """In the order of `NUMBERS`; None for what the gate or the classifier did not say."""
    said: Mapping[Finding, float] = {row.finding: row.probability for row in findings}
    known: dict[str, float | None] = {
        "ood_score": None if gate.score is None else round(gate.score, 6),
        "width": image.width,
        "height": image.height,
        **asdict(measures),
        **{finding.value: said.get(finding) for finding in Finding},
    }
    return [known[name] for name in NUMBERS]


def columns_of(study: Study, measures: ImageStatistics) -> dict[str, Any]:
    """The row of a study that was just read."""
    used: dict[str, UsedModel] = {model.role: model for model in study.models}
    numbers = numbers_of(study.image, study.gate, measures, study.findings)
    return {
        "study_id": study.id,
        "week": week_of(study.received_at),
        "accepted": study.gate.accepted,
        "source": study.image.source.value,
        "view": view_of(study.image.view),
        "gate_sha256": used["gate"].sha256,
        "classifier_sha256": used["classifier"].sha256 if "classifier" in used else None,
        "values_json": json.dumps(numbers, separators=(",", ":")),
    }
