"""What is stored of a shadow's analysis: its answer, and what would have followed from it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cxr_contracts import ClassifyResponse, DetectResponse, ModelIdentity
from cxr_gateway.analysis.analyzer import Analysis
from cxr_gateway.analysis.merge import Prediction, predict
from cxr_gateway.analysis.triage_model import TriageModels
from cxr_gateway.archive.models import StoredStudy
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.inference.failures import InferenceFailure


@dataclass(frozen=True)
class ShadowAnalysis:
    """One image, read by one shadow, in so many milliseconds: an answer or a failure."""

    role: str
    model: ModelIdentity
    duration_ms: float
    answer: ClassifyResponse | DetectResponse | InferenceFailure


def current_model(analysis: Analysis, role: str) -> ModelIdentity | None:
    """The model of a role whose answer the study shows; None where it did not answer."""
    shown = analysis.classified if role == "classifier" else analysis.detected
    return None if shown is None else shown.model


def would_be(
    analysis: Analysis, answer: ClassifyResponse | DetectResponse, triage: TriageModels
) -> Prediction:
    """What the study would say if `answer` stood in the place of its role's."""
    classified = answer if isinstance(answer, ClassifyResponse) else analysis.classified
    detected = answer if isinstance(answer, DetectResponse) else analysis.detected
    pair = classified.model if classified else None, detected.model if detected else None
    return predict(classified, detected, triage.of(*pair))


def columns_of(
    stored: StoredStudy, analysis: Analysis, recorded: ShadowAnalysis, triage: TriageModels
) -> dict[str, Any]:
    """The row of a shadow's analysis beside a study that shows an answer of the same role."""
    shown, study = current_model(analysis, recorded.role), stored.study
    if shown is None or study.triage is None:
        raise ValueError(f"study {study.id} shows nothing of the {recorded.role}")
    columns = {
        "id": new_study_id(),
        "study_id": stored.id,
        "revision": stored.revision,
        "recorded_at": datetime.now(UTC),
        "role": recorded.role,
        "model_name": recorded.model.name,
        "model_version": recorded.model.version,
        "model_sha256": recorded.model.sha256,
        "current_sha256": shown.sha256,
        "duration_ms": recorded.duration_ms,
        "current_ms": analysis.stages_ms.get(recorded.role),
        "current_priority": study.triage.priority.value,
        "current_boxes": len(study.boxes),
    }
    if isinstance(recorded.answer, InferenceFailure):
        failure = recorded.answer
        return columns | {"error": failure.kind.value, "detail": failure.detail}
    prediction = would_be(analysis, recorded.answer, triage)
    return columns | {
        "answer_json": _kept(recorded.role, prediction),
        "priority": prediction.triage.priority.value if prediction.triage else None,
        "boxes": len(prediction.boxes),
    }


def _kept(role: str, prediction: Prediction) -> str:
    findings = prediction.findings if role == "classifier" else []
    return json.dumps(
        {
            "findings": [row.model_dump(mode="json") for row in findings],
            "boxes": [box.model_dump(mode="json") for box in prediction.boxes],
        },
        separators=(",", ":"),
    )
