"""Logs as one JSON object a line, with the request's id and nothing about the patient.

What is logged of a request is its method, route template, status and duration: no file names,
no query strings, no header values, no metadata of the image.
"""

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# Set by RequestIdMiddleware for the length of a request; None outside of one.
request_id: ContextVar[str | None] = ContextVar("cxr_request_id", default=None)

# Attributes that every LogRecord has; whatever else a record carries came in by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonLineFormatter(logging.Formatter):
    """A record as a line of JSON: `time` (UTC), `level`, `service`, `logger`, `message`, extras."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every logger of this process, uvicorn's included, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLineFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # Our own middleware writes the access line: by route template, and with the request's id.
    logging.getLogger("uvicorn.access").disabled = True
    for chatty in (
        "httpx",
        "httpcore",
        "python_multipart",
        "PIL",
        "pydicom",
        "alembic",
        "botocore",
    ):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # Several lines for each attempt at a collector that is away; `otlp.py` says it once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
