"""What the OpenAPI document says of access: the ways in, and the refusals of guarded operations."""

from typing import Any

from fastapi import FastAPI

from cxr_gateway.access.permissions import PERMISSIONS
from cxr_gateway.api.documents import problem_responses

_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`cxr_...`), or an access token of the OpenID provider.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-cxr-session",
        "description": "Of the page; without the prefix where it is not reached by https.",
    },
}


def install_security(app: FastAPI) -> None:
    """Let the document of `app` say what the table of permissions says."""
    plain = app.openapi

    def document() -> dict[str, Any]:
        found = plain()
        found["components"]["securitySchemes"] = _SCHEMES
        for path in found["paths"].values():
            for operation in path.values():
                _describe(operation)
        return found

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _describe(operation: dict[str, Any]) -> None:
    rule = PERMISSIONS[operation["operationId"]]
    if rule.for_everybody:
        return
    operation["security"] = [{name: []} for name in _SCHEMES]
    refusals = problem_responses(401, 429, *([403] if rule.roles else []))
    responses = {str(status): response for status, response in refusals.items()}
    operation["responses"] = dict(sorted((operation["responses"] | responses).items()))
