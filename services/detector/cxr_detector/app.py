"""The detector's HTTP interface: `POST /v1/detect`, `GET /info`, and the probes."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Query, Request, Response

from cxr_contracts import (
    DETECT_PATH,
    LOWEST_MIN_SCORE,
    MIN_SCORE_PARAM,
    MOST_BOXES,
    DetectedBox,
    DetectResponse,
    ModelManifest,
    Region,
)
from cxr_detector.calibration import calibrated
from cxr_detector.loading import Detector, load_predictor
from cxr_detector.postprocessing import Detections
from cxr_detector.predictor import Prepared
from cxr_detector.settings import DetectorSettings
from cxr_serving.inference_routes import (
    UPLOAD_BODY,
    UPLOAD_PROBLEMS,
    add_info,
    identity,
    json_response,
)
from cxr_serving.inference_service import InferenceService
from cxr_serving.product import VERSION
from cxr_serving.service import create_service
from cxr_serving.uploads import forbid_unknown_query

DetectorService = InferenceService[Prepared, Detections]

_EXAMPLE = {
    "model": {"name": "fused-both", "version": "1", "sha256": "3c" * 32},
    "image": {"width": 1841, "height": 1955},
    "boxes": [
        {
            "finding": "Mass",
            "score": 0.64,
            "above_threshold": True,
            "x_min": 1210.0,
            "y_min": 790.5,
            "x_max": 1402.0,
            "y_max": 985.0,
        }
    ],
}
# A score's decimals, and a coordinate's: finer than the model can tell.
_SCORE_DECIMALS = 6
_PIXEL_DECIMALS = 2


def create_app(settings: DetectorSettings, predictor: Detector | None = None) -> FastAPI:
    """The detector as an ASGI app; its InferenceService is at `app.state.service`.

    Args:
        settings: Limits, and which model.
        predictor: A loaded model; without one, the app loads what `settings` name as it starts.
    """
    service = DetectorService("detector", settings, lambda: predictor or load_predictor(settings))
    app = create_service(
        title="Chest X-ray detector",
        version=VERSION,
        description="A chest radiograph to boxes around suspicious regions. For research use; "
        "not a medical device.",
        metrics=service.metrics,
        readiness=service.readiness,
        max_body_bytes=service.max_body_bytes,
        lifespan=service.lifespan,
        tracing=service.tracing,
    )
    app.state.service = service
    add_info(app, service)
    _add_detect(app, service)
    return app


def _add_detect(app: FastAPI, service: DetectorService) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/json": {"example": _EXAMPLE}}},
        **UPLOAD_PROBLEMS,
    }

    @app.post(
        DETECT_PATH,
        operation_id="detectRegions",
        tags=["inference"],
        summary="Boxes around the suspicious regions of one radiograph",
        response_model=DetectResponse,
        responses=responses,
        openapi_extra=UPLOAD_BODY,
    )
    async def detect(
        request: Request,
        min_score: Annotated[
            float | None,
            Query(
                alias=MIN_SCORE_PARAM,
                ge=LOWEST_MIN_SCORE,
                le=1.0,
                description="Boxes down to this score as well, for a client with thresholds of its "
                f"own: `above_threshold` is false for them, at most {MOST_BOXES} boxes come. "
                "Without it, what the operating thresholds of the model's manifest let through.",
            ),
        ] = None,
    ) -> Response:
        forbid_unknown_query(request, MIN_SCORE_PARAM)
        size, detections = await service.infer(
            request, lambda prepared: replace(prepared, min_score=min_score)
        )
        return json_response(
            DetectResponse(
                model=identity(service),
                image=size,
                boxes=detected_boxes(detections, service.predictor.manifest),
            )
        )


def detected_boxes(detections: Detections, manifest: ModelManifest) -> list[DetectedBox]:
    """Boxes as the wire has them, highest score first."""
    scores = detections.scores.astype(float).round(_SCORE_DECIMALS)
    rows = zip(
        detections.labels.tolist(),
        scores.tolist(),
        _probabilities(scores, detections.labels, manifest),
        detections.above_threshold.tolist(),
        detections.boxes.astype(float).round(_PIXEL_DECIMALS).tolist(),
        strict=True,
    )
    return [
        DetectedBox(
            finding=Region(manifest.labels[label].name),
            score=score,
            probability=probability,
            above_threshold=above,
            x_min=x_min,
            y_min=y_min,
            x_max=x_max,
            y_max=y_max,
        )
        for label, score, probability, above, (x_min, y_min, x_max, y_max) in rows
    ]


def _probabilities(
    scores: npt.NDArray[np.float64], labels: npt.NDArray[np.intp], manifest: ModelManifest
) -> list[float] | list[None]:
    """How likely each box is right; None for all where the manifest has no calibration."""
    slopes, intercepts = (
        np.array([getattr(label, name) for label in manifest.labels])
        for name in ("slope", "intercept")
    )
    if (slopes == 1.0).all() and (intercepts == 0.0).all():
        return [None] * len(scores)
    said: list[float] = (
        calibrated(scores, slopes[labels], intercepts[labels]).round(_SCORE_DECIMALS).tolist()
    )
    return said
