"""A collector of traces for tests: takes OTLP over HTTP as a real one does, keeps the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = Span.SpanKind


@dataclass(frozen=True)
class Received:
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    started_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, str | int]


@dataclass
class Collector:
    """What has come so far. While `answers` is not set, whoever sends waits."""

    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)
    came: threading.Condition = field(default_factory=threading.Condition)

    def spans(self) -> list[Received]:
        """Every span of every service."""
        with self.came:
            bodies = list(self.requests)
        return [span for body in bodies for span in _spans(body)]

    def wait_for(self, *names: str) -> list[Received]:
        """The spans, once there is one of each of these names."""
        with self.came:
            complete = self.came.wait_for(
                lambda: set(names) <= {s.name for body in self.requests for s in _spans(body)}, 60
            )
        assert complete, {*names} - {span.name for span in self.spans()}
        return self.spans()


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a port of its own; it answers until told otherwise."""
    kept = Collector()
    kept.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            with kept.came:
                kept.requests.append(body)
                kept.came.notify_all()
            kept.answers.wait()
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            kept.answers.set()
            server.shutdown()
            thread.join()


def _spans(body: bytes) -> Iterator[Received]:
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        described = {pair.key: pair.value for pair in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    service=described["service.name"].string_value,
                    name=span.name,
                    kind=KINDS.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    started_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    failed=span.status.code == Status.STATUS_CODE_ERROR,
                    attributes={
                        pair.key: pair.value.string_value or pair.value.int_value
                        for pair in span.attributes
                    },
                )
