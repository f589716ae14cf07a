"""The gateway's application."""

from fastapi import FastAPI

from cxr_gateway.api import pictures, studies, system
from cxr_gateway.api.documents import openapi_document
from cxr_gateway.settings import GatewaySettings

DESCRIPTION = (
    "A chest radiograph goes in; the most likely findings, the suspicious regions and how urgent "
    "it is come out. Research use only, not a medical device. Every error is an RFC 9457 problem."
)


def create_app(settings: GatewaySettings) -> FastAPI:
    app = FastAPI(
        title="Open chest X-ray reader",
        version="0.1.0",
        summary="Findings, regions and urgency of a chest radiograph",
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    for router in (studies.router, pictures.router, system.router):
        app.include_router(router)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app
