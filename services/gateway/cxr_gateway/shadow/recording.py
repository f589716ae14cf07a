"""What is kept of a shadow's reading: its answer, and what would have followed from it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from cxr_contracts import ClassifyResponse, DetectResponse, ModelIdentity
from cxr_gateway.analysis.analyzer import Analysis
from cxr_gateway.analysis.prediction import Opinion, opinion_of
from cxr_gateway.analysis.rescoring import Rescorings
from cxr_gateway.archive.models import StoredStudy
from cxr_gateway.archive.observed_tables import ShadowAnswerRow
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.inference.failures import InferenceFailure


@dataclass(frozen=True)
class ShadowReading:
    """One picture, read by one shadow, in so many milliseconds: an answer or a failure."""

    role: str
    model: ModelIdentity
    duration_ms: float
    answer: ClassifyResponse | DetectResponse | InferenceFailure


def shown_model(examined: Analysis, role: str) -> ModelIdentity | None:
    """The model of a role whose answer the study shows; None where it did not answer."""
    shown = examined.classified if role == "classifier" else examined.detected
    return None if shown is None else shown.model


def would_be(
    examined: Analysis, answer: ClassifyResponse | DetectResponse, rescorings: Rescorings
) -> Opinion:
    """What the study would say if `answer` stood in the place of its role's."""
    classified = answer if isinstance(answer, ClassifyResponse) else examined.classified
    detected = answer if isinstance(answer, DetectResponse) else examined.detected
    rescoring = rescorings.of(
        classified.model if classified else None, detected.model if detected else None
    )
    return opinion_of(classified, detected, rescoring)


def columns_of(
    stored: StoredStudy, examined: Analysis, reading: ShadowReading, rescorings: Rescorings
) -> dict[str, Any]:
    """The row of a shadow's reading beside a study that shows an answer of the same role."""
    shown, study = shown_model(examined, reading.role), stored.study
    if shown is None or study.triage is None:
        raise ValueError(f"study {study.id} shows nothing of the {reading.role}")
    columns = {
        "id": new_study_id(),
        "study_id": stored.id,
        "revision": stored.revision,
        "recorded_at": datetime.now(UTC),
        "role": reading.role,
        "model_name": reading.model.name,
        "model_version": reading.model.version,
        "model_sha256": reading.model.sha256,
        "current_sha256": shown.sha256,
        "duration_ms": reading.duration_ms,
        "shown_ms": examined.stages_ms.get(reading.role),
        "shown_priority": study.triage.priority.value,
        "shown_boxes": len(study.boxes),
    }
    if isinstance(reading.answer, InferenceFailure):
        failure = reading.answer
        return columns | {"error": failure.kind.value, "detail": failure.detail}
    opinion = would_be(examined, reading.answer, rescorings)
    return columns | {
        "answer_json": _kept(reading.role, opinion),
        "priority": opinion.triage.priority.value if opinion.triage else None,
        "boxes": len(opinion.boxes),
    }


def add_answer(session: Session, columns: dict[str, Any]) -> None:
    """Write the row."""
    session.execute(insert(ShadowAnswerRow).values(columns))


def _kept(role: str, opinion: Opinion) -> str:
    findings = opinion.findings if role == "classifier" else []
    return json.dumps(
        {
            "findings": [row.model_dump(mode="json") for row in findings],
            "boxes": [box.model_dump(mode="json") for box in opinion.boxes],
        },
        separators=(",", ":"),
    )
