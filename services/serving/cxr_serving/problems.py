"""Every error of a service as a problem body (RFC 9457), in responses and in OpenAPI."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cxr_contracts import PROBLEM_MEDIA_TYPE, Problem
from cxr_serving.errors import NotFound, ServiceError, UnsupportedMedia

_HTTP_TITLES = {
    400: ("urn:cxr:problem:bad-request", "Bad request"),
    404: (NotFound.type, NotFound.title),
    405: ("urn:cxr:problem:method-not-allowed", "Method not allowed"),
    415: (UnsupportedMedia.type, UnsupportedMedia.title),
}


# Where a response leaves its problem's type in the ASGI scope, for the metrics.
PROBLEM_SCOPE_KEY = "cxr.problem"


class ProblemResponse(Response):
    """`problem` as an HTTP response, whoever sends it: a handler or a middleware."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        self._type = problem.type
        super().__init__(
            problem.model_dump_json(exclude_none=True),
            status_code=problem.status,
            media_type=PROBLEM_MEDIA_TYPE,
            headers=headers,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        scope[PROBLEM_SCOPE_KEY] = self._type
        await super().__call__(scope, receive, send)


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """`problem` as an HTTP response."""
    return ProblemResponse(problem, headers)


def internal_problem(path: str) -> Problem:
    """The body of a 500: it says nothing of the inside; the log has it under the request's id."""
    return ServiceError(
        "The service failed in an unexpected way. Its log has the cause under the request id "
        "of this response's X-Request-ID header."
    ).problem(path)


def install_error_handlers(app: FastAPI) -> None:
    """Answer service errors, malformed requests, and 404/405 with problem bodies.

    Unexpected exceptions are the affair of `middleware.UnexpectedErrorMiddleware`, which stands
    inside the request id and the metrics, where Starlette's own handler for them does not.
    """
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_service_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ServiceError):
        raise error
    return problem_response(error.problem(request.url.path), error.headers)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # Pydantic's errors carry the input itself; a client knows what it sent, a log should not.
    errors = [
        {"where": ".".join(str(step) for step in item["loc"]), "message": str(item["msg"])}
        for item in error.errors()
    ]
    problem = Problem(
        type="urn:cxr:problem:invalid-request",
        title="Invalid request",
        status=422,
        detail="; ".join(f"{item['where']}: {item['message']}" for item in errors) + ".",
        instance=request.url.path,
        errors=errors,  # type: ignore[call-arg]  # an extension member, allowed by RFC 9457
    )
    return problem_response(problem)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    kind, title = _HTTP_TITLES.get(
        error.status_code, (f"urn:cxr:problem:http-{error.status_code}", str(error.detail))
    )
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path}."
    elif error.status_code == 405:
        detail = f"{request.url.path} does not answer {request.method}."
    problem = Problem(
        type=kind, title=title, status=error.status_code, detail=detail, instance=request.url.path
    )
    return problem_response(problem, dict(error.headers or {}))


def problem_responses(*errors: type[ServiceError] | int) -> dict[int | str, dict[str, Any]]:
    """What to hand to a route's `responses=`: the errors that it answers, by class or status."""
    found: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        status = error if isinstance(error, int) else error.status
        title = "Invalid request" if isinstance(error, int) else error.title
        if status in found and title not in found[status]["description"]:
            title = f"{found[status]['description']}, or {title.lower()}"
        found[status] = {"model": Problem, "description": title}
    return found


def install_openapi(app: FastAPI) -> None:
    """Let the OpenAPI document say `application/problem+json` where problems are answered."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _describe_problems(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _describe_problems(schema: dict[str, Any]) -> None:
    """Move Problem bodies to their media type; replace FastAPI's own 422 by ours."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas.setdefault(
        "Problem", Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    )
    problem_ref = {"$ref": "#/components/schemas/Problem"}
    for path in schema.get("paths", {}).values():
        for operation in path.values():
            for response in operation.get("responses", {}).values():
                body = response.get("content", {}).get("application/json", {}).get("schema")
                if body is None or body.get("$ref", "").rpartition("/")[2] not in (
                    "Problem",
                    "HTTPValidationError",
                ):
                    continue
                response["content"] = {PROBLEM_MEDIA_TYPE: {"schema": problem_ref}}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
