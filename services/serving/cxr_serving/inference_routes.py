"""What the routes of both inference services share: the upload in OpenAPI, `/info`, responses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

from cxr_contracts import (
    FindingLevels,
    LevelsSource,
    ModelIdentity,
    ModelManifest,
    ServiceInfo,
)
from cxr_serving.errors import (
    BadRequest,
    Overloaded,
    PayloadTooLarge,
    Unavailable,
    UnknownCaller,
    Unprocessable,
    UnsupportedMedia,
)
from cxr_serving.inference_service import IMAGE_FIELD, InferenceService
from cxr_serving.model_folder import identity_of
from cxr_serving.problems import problem_responses
from cxr_serving.product import VERSION

UPLOAD_PROBLEMS = problem_responses(
    BadRequest,
    UnknownCaller,
    PayloadTooLarge,
    UnsupportedMedia,
    Unprocessable,
    Overloaded,
    Unavailable,
)
# The form is read by `uploads.read_single_file`, past FastAPI, so it is described by hand.
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [IMAGE_FIELD],
                    "additionalProperties": False,
                    "properties": {
                        IMAGE_FIELD: {
                            "type": "string",
                            "format": "binary",
                            "description": "A PNG or JPEG, grey or a colour file of a grey "
                            "image; one image, without transparency.",
                        }
                    },
                }
            }
        },
    }
}


def identity(service: InferenceService[Any, Any]) -> ModelIdentity:
    """How the loaded model is named in answers. Raises Unavailable as long as there is none."""
    return identity_of(service.predictor.manifest)


def json_response(body: BaseModel) -> Response:
    """`body` as JSON; it was validated when it was built, so FastAPI need not do so again."""
    return Response(body.model_dump_json(), media_type="application/json")


@dataclass(frozen=True)
class ModelEvidence:
    """What `/info` says of a classifier beyond its identity; see `ServiceInfo`."""

    calibrated: bool | None = None
    has_maps: bool | None = None
    levels: LevelsSource | None = None
    finding_levels: list[FindingLevels] = field(default_factory=list)
    maps_are_evidence: bool | None = None


def _no_evidence(_manifest: ModelManifest) -> ModelEvidence:
    return ModelEvidence()


def add_info(
    app: FastAPI,
    service: InferenceService[Any, Any],
    evidence: Callable[[ModelManifest], ModelEvidence] = _no_evidence,
) -> None:
    """Add `GET /info`; `evidence` is what the manifest says of a classifier's answers."""

    @app.get(
        "/info",
        operation_id="getInfo",
        tags=["operations"],
        summary="The model, its labels and the limits of this service",
        responses=problem_responses(Unavailable),
    )
    async def info() -> ServiceInfo:
        predictor = service.predictor
        said = evidence(predictor.manifest)
        return ServiceInfo(
            role=service.role,
            service_version=VERSION,
            model=identity(service),
            labels=[label.name for label in predictor.manifest.labels],
            runtime=predictor.runtime,
            device=predictor.device,
            max_batch_size=service.max_batch_size,
            max_queue_length=service.settings.max_queue_length,
            licence=predictor.manifest.licence,
            calibrated=said.calibrated,
            has_maps=said.has_maps,
            levels=said.levels,
            finding_levels=said.finding_levels,
            maps_are_evidence=said.maps_are_evidence,
        )
