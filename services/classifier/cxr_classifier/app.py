"""The classifier's HTTP interface: `POST /v1/classify`, `GET /info`, and the probes."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from cxr_classifier.calibration import Reading
from cxr_classifier.predictor import ClassifierPredictor, load_predictor
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import CLASSIFY_PATH, EXPLAIN_PARAM, ClassifyResponse, Finding
from cxr_serving.product import VERSION
from cxr_serving.reader import Reader
from cxr_serving.reader_routes import (
    UPLOAD_BODY,
    UPLOAD_PROBLEMS,
    add_info,
    identity,
    json_response,
)
from cxr_serving.runtime import FloatArray
from cxr_serving.service import create_service
from cxr_serving.uploads import forbid_unknown_query

ClassifierReader = Reader[FloatArray, Reading]

_EXAMPLE = {
    "model": {"name": "lite0-nih14", "version": "1", "sha256": "9f" * 32},
    "findings": [
        {"finding": "Effusion", "probability": 0.71, "threshold": 0.22, "positive": True},
        {"finding": "Mass", "probability": 0.08, "threshold": 0.11, "positive": False},
    ],
    "cams": [{"finding": "Effusion", "values": [[-1.5, 0.25], [0.5, 4.75]]}],
}


def create_app(
    settings: ClassifierSettings, predictor: ClassifierPredictor | None = None
) -> FastAPI:
    """The classifier as an ASGI app; its Reader is at `app.state.reader`.

    Args:
        settings: Limits, and which model.
        predictor: A loaded model; without one, the app loads what `settings` name as it starts.
    """
    reader = ClassifierReader("classifier", settings, lambda: predictor or load_predictor(settings))
    app = create_service(
        title="Chest X-ray classifier",
        version=VERSION,
        description="A chest radiograph to the probability of fourteen findings, and where each "
        "one comes from. For research use; not a medical device.",
        metrics=reader.metrics,
        readiness=reader.readiness,
        max_body_bytes=reader.max_body_bytes,
        lifespan=reader.lifespan,
        tracing=reader.tracing,
    )
    app.state.reader = reader
    add_info(app, reader)
    _add_classify(app, reader)
    return app


def _add_classify(app: FastAPI, reader: ClassifierReader) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **UPLOAD_PROBLEMS,
    }

    @app.post(
        CLASSIFY_PATH,
        operation_id="classifyImage",
        tags=["reading"],
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
                description="For how many of the most probable findings a map is wanted.",
            ),
        ] = 0,
    ) -> Response:
        forbid_unknown_query(request, EXPLAIN_PARAM)
        _, reading = await reader.read(request)
        findings, cams = reading.answer(explain)
        return json_response(ClassifyResponse(model=identity(reader), findings=findings, cams=cams))
