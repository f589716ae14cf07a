"""The classifier's HTTP interface: `POST /v1/classify`, `GET /info`, and the probes."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from cxr_classifier.calibration import ClassifierOutput
from cxr_classifier.evidence import evidence_of
from cxr_classifier.predictor import ClassifierPredictor, load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, EXPLAIN_PARAM, ClassifyResponse, Finding
from cxr_serving.inference_routes import (
    UPLOAD_BODY,
    UPLOAD_PROBLEMS,
    add_info,
    identity,
    json_response,
)
from cxr_serving.inference_service import InferenceService
from cxr_serving.product import VERSION
from cxr_serving.runtime import FloatArray
from cxr_serving.service import create_service
from cxr_serving.uploads import forbid_unknown_query

ClassifierService = InferenceService[FloatArray, ClassifierOutput]

_EXAMPLE = {
    "model": {"name": "lite0-nih14", "version": "1", "sha256": "9f" * 32},
    "calibrated": True,
    "findings": [
        {
            "finding": "Effusion",
            "probability": 0.71,
            "level": "likely",
            "possible_threshold": 0.12,
            "likely_threshold": 0.44,
        },
        {
            "finding": "Mass",
            "probability": 0.08,
            "level": "unlikely",
            "possible_threshold": 0.11,
            "likely_threshold": 0.29,
        },
    ],
    "cams": [{"finding": "Effusion", "values": [[-1.5, 0.25], [0.5, 4.75]]}],
}


def create_app(
    settings: ClassifierSettings, predictor: ClassifierPredictor | None = None
) -> FastAPI:
    """The classifier as an ASGI app; its InferenceService is at `app.state.service`.

    Args:
        settings: Limits, and which model.
        predictor: A loaded model; without one, the app loads what `settings` name as it starts.
    """
    service = ClassifierService(
        "classifier", settings, lambda: predictor or load_predictor(settings)
    )
    app = create_service(
        title="Chest X-ray classifier",
        version=VERSION,
        description="A chest radiograph to the probability of fourteen findings, and where each "
        "one comes from. For research use; not a medical device.",
        metrics=service.metrics,
        readiness=service.readiness,
        max_body_bytes=service.max_body_bytes,
        lifespan=service.lifespan,
        tracing=service.tracing,
    )
    app.state.service = service
    add_info(app, service, evidence_of)
    _add_classify(app, service)
    return app


def _add_classify(app: FastAPI, service: ClassifierService) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **UPLOAD_PROBLEMS,
    }

    @app.post(
        CLASSIFY_PATH,
        operation_id="classifyImage",
        tags=["inference"],
        summary="Probability of fourteen findings in one radiograph",
        response_model=ClassifyResponse,
        responses=responses,
        openapi_extra=UPLOAD_BODY,
    )
    async def classify(
        request: Request,
        explain: Annotated[
            int,
            Query(
                alias=EXPLAIN_PARAM,
                ge=0,
                le=len(Finding),
                description="For how many of the findings, the first ones, a map is wanted.",
            ),
        ] = 0,
    ) -> Response:
        forbid_unknown_query(request, EXPLAIN_PARAM)
        _, output = await service.infer(request)
        findings, cams = output.findings_and_cams(explain)
        return json_response(
            ClassifyResponse(
                model=identity(service),
                calibrated=service.predictor.manifest.calibrated,
                findings=findings,
                cams=cams,
            )
        )
