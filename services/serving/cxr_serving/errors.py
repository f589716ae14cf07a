"""Errors of the services, and the one handler that turns them into problem bodies.

ServiceError                what a client is told, as RFC 9457 problem details
├── BadRequest          400 the request contradicts itself
├── NotFound            404 no such thing
├── Conflict            409 the same key was used for something else
├── PayloadTooLarge     413 refused before it was decoded
├── UnsupportedMedia    415 not a file of an accepted kind
├── Unprocessable       422 of an accepted kind, but broken or not acceptable
├── Overloaded          503 try again after `retry_after_s`
└── Unavailable         503 something that this service needs is not there
"""

from typing import Any, ClassVar

from cxr_contracts import Problem

PROBLEM_PREFIX = "urn:cxr:problem:"


class ServiceError(Exception):
    """Base of every error that reaches a client; subclasses fix the status and the type."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "urn:cxr:problem:internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, **extensions: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extensions = extensions

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to this error."""
        return {}

    def problem(self, instance: str | None = None) -> Problem:
        """The RFC 9457 body."""
        return Problem(
            type=self.type,
            title=self.title,
            status=self.status,
            detail=self.detail,
            instance=instance,
            **self.extensions,
        )


class BadRequest(ServiceError):
    """The request contradicts itself."""

    status = 400
    type = "urn:cxr:problem:bad-request"
    title = "Bad request"


class UnknownCaller(ServiceError):
    """Asked by somebody who does not have the services' token."""

    status = 401
    type = "urn:cxr:problem:unknown-caller"
    title = "Unknown caller"


class NotFound(ServiceError):
    """No such thing."""

    status = 404
    type = "urn:cxr:problem:not-found"
    title = "Not found"


class Conflict(ServiceError):
    """The same key was used for something else."""

    status = 409
    type = "urn:cxr:problem:conflict"
    title = "Conflict"


class PayloadTooLarge(ServiceError):
    """Refused for its size, in bytes or in pixels, before it was decoded."""

    status = 413
    type = "urn:cxr:problem:too-large"
    title = "Too large"


class UnsupportedMedia(ServiceError):
    """Not a file of an accepted kind."""

    status = 415
    type = "urn:cxr:problem:unsupported-media"
    title = "Unsupported file"


class Unprocessable(ServiceError):
    """A file of an accepted kind that is broken, or whose content is not acceptable."""

    status = 422
    type = "urn:cxr:problem:unprocessable"
    title = "Unprocessable"


class Unavailable(ServiceError):
    """Something that this service needs is not there; it may be back after `retry_after_s`."""

    status = 503
    type = "urn:cxr:problem:unavailable"
    title = "Unavailable"
    retry_after_s = 5

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after_s)}


class Overloaded(ServiceError):
    """The queue is full; the same request may succeed after `retry_after_s`."""

    status = 503
    type = "urn:cxr:problem:overloaded"
    title = "Overloaded"

    def __init__(self, detail: str, *, retry_after_s: int = 1, **extensions: Any) -> None:
        super().__init__(detail, **extensions)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """`Retry-After` in seconds."""
        return {"Retry-After": str(self.retry_after_s)}


def problem_names(root: type[ServiceError] = ServiceError) -> set[str]:
    """The last part of the type of `root` and of every error under it that is imported by now."""
    below = (problem_names(kind) for kind in root.__subclasses__())
    return {root.type.removeprefix(PROBLEM_PREFIX)}.union(*below)
