"""ASGI middleware of every service: request id, metrics and access log, body limit, last resort.

Pure ASGI on purpose: Starlette's BaseHTTPMiddleware runs the app in a task of its own, which
costs time and hides a client's disconnection from the app.
"""

import contextlib
import logging
import re
import time
import uuid

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_serving.errors import PayloadTooLarge
from cxr_serving.logs import request_id
from cxr_serving.metrics import ServiceMetrics
from cxr_serving.problems import PROBLEM_SCOPE_KEY, internal_problem, problem_response
from cxr_serving.routes import QUIET_ROUTES, method_of, route_of
from cxr_serving.tracing import Tracing, TracingMiddleware

REQUEST_ID_HEADER = "X-Request-ID"
# What is taken over from a client goes into logs and headers: short, and no line breaks.
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

access_log = logging.getLogger("cxr.access")
error_log = logging.getLogger("cxr.error")


def install_middleware(
    app: FastAPI, metrics: ServiceMetrics, tracing: Tracing, *, max_body_bytes: int
) -> None:
    """Wrap `app`, from the outside in: request id, trace, metrics, body limit, last resort."""
    # add_middleware puts each one around those before it.
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(BodyLimitMiddleware, max_body_bytes=max_body_bytes)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(TracingMiddleware, tracing=tracing)
    app.add_middleware(RequestIdMiddleware)


class RequestIdMiddleware:
    """Takes over the caller's `X-Request-ID`, or makes one; logs and the response carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        current = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(current)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = current
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)


class MetricsMiddleware:
    """Counts and times requests by route template, and writes the access line."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499  # the client went away before a response began

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._metrics.in_flight.dec()
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method, route = method_of(scope), route_of(scope)
        self._metrics.requests.labels(method, route, str(status)).inc()
        if (problem := scope.get(PROBLEM_SCOPE_KEY)) is not None:
            self._metrics.count_problem(problem)
        self._metrics.latency_s.labels(method, route).observe(seconds)
        access_log.log(
            logging.DEBUG if route in QUIET_ROUTES else logging.INFO,
            "%s %s %d",
            scope["method"],
            route,
            status,
            extra={"status": status, "route": route, "duration_ms": round(seconds * 1000, 1)},
        )


class BodyLimitMiddleware:
    """Answers 413 to a body over the limit: by its Content-Length, or once that much has come.

    Nothing is buffered here, and nothing beyond the limit reaches the app.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max:
            await self._refuse(scope, receive, send)
            return
        guard = _BodyGuard(receive, send, self._max)
        with contextlib.suppress(_BodyTooLong):
            await self._app(scope, guard.receive, guard.send)
        if guard.exceeded and not guard.answered:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = PayloadTooLarge(
            f"The request is larger than the {self._max:,} bytes that are accepted.",
            max_bytes=self._max,
        )
        await problem_response(error.problem(scope["path"]))(scope, receive, send)


class _BodyTooLong(Exception):
    pass


class _BodyGuard:
    """Counts what a body brings; once that is too much, holds back what the app answers."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._left = max_bytes
        self.exceeded = False
        self.answered = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.exceeded = True
                raise _BodyTooLong
        return message

    async def send(self, message: Message) -> None:
        # FastAPI turns an exception out of `receive` into a 400 of its own; ours is the 413.
        if self.exceeded and not self.answered:
            return
        self.answered = True
        await self._send(message)


class UnexpectedErrorMiddleware:
    """Turns an exception that nobody expected into a 500 problem, and logs its traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except _BodyTooLong:
            raise
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception:
            error_log.exception("unexpected error", extra={"method": scope["method"]})
            if started:
                raise  # the response is half sent: only breaking the connection is honest now
            await problem_response(internal_problem(scope["path"]))(scope, receive, send)
