"""Prometheus metrics, in a registry of each app's own, so that many apps fit in one process.

Every label has a bounded set of values, and none says anything of a patient. A counter whose label
values are known is there at zero from the start: a rate over it sees the first event, too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from cxr_contracts import ModelIdentity
from cxr_serving import tracing
from cxr_serving.errors import PROBLEM_PREFIX, problem_names
from cxr_serving.product import VERSION

# Seconds; dense between 10 ms and 1 s, where an inference takes its time.
_LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30)


@dataclass
class Span:
    """A measured stretch of time; `ms` is set when it has ended."""

    ms: float = 0.0


class Stages:
    """The stages of a request: each is timed, and is a step of the request's trace."""

    def __init__(self, seconds: Histogram) -> None:
        self._seconds = seconds

    @contextmanager
    def measure(self, stage: str, *, asks: bool = False) -> Iterator[Span]:
        """Measure a stage, whether it succeeds or not; `asks` where another service works."""
        span, started = Span(), perf_counter()
        try:
            with tracing.step(stage, asks=asks):
                yield span
        finally:
            seconds = perf_counter() - started
            span.ms = round(seconds * 1000, 2)
            self._seconds.labels(stage).observe(seconds)


class ServiceMetrics:
    """What every service counts of its requests. `registry` takes whatever else it counts."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "cxr_http_requests",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.latency_s = Histogram(
            "cxr_http_request_duration_seconds",
            "From the request's first byte to the response's last.",
            ["method", "route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "cxr_http_requests_in_flight", "Requests being answered now.", registry=self.registry
        )
        self._problems = Counter(
            "cxr_problems",
            "Responses that were problem bodies, by the last part of the problem's type.",
            ["type"],
            registry=self.registry,
        )
        for name in problem_names():
            self._problems.labels(name)
        self._ready = Gauge(
            "cxr_ready", "1 where /readyz answers 200, else 0.", registry=self.registry
        )
        self._models = Gauge(
            "cxr_model_info",
            "1 for each model in use.",
            ["role", "name", "version", "sha256"],
            registry=self.registry,
        )
        build = Gauge(
            "cxr_build_info", "1; the version of this service.", ["version"], registry=self.registry
        )
        build.labels(VERSION).set(1)

    def watch_readiness(self, ready: Callable[[], bool]) -> None:
        """Have `ready` asked at each scrape."""
        self._ready.set_function(lambda: float(ready()))

    def count_problem(self, kind: str) -> None:
        """Count a response; `kind` is its problem's `type`."""
        self._problems.labels(kind.removeprefix(PROBLEM_PREFIX)).inc()

    def name_model(self, role: str, model: ModelIdentity) -> None:
        """Name a model that is in use from now on."""
        self._models.labels(role, model.name, model.version, model.sha256).set(1)

    def histogram_s(self, name: str, description: str, *labels: str) -> Histogram:
        """A histogram of seconds."""
        return Histogram(
            name, description, labels, buckets=_LATENCY_BUCKETS_S, registry=self.registry
        )

    def stages(self, name: str, description: str) -> Stages:
        """Stages, timed in a histogram `name` with the label `stage`."""
        return Stages(self.histogram_s(name, description, "stage"))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class BatchMetrics:
    """What a micro-batcher counts."""

    def __init__(
        self, registry: CollectorRegistry, max_batch_size: int, max_queue_length: int
    ) -> None:
        limit = Gauge(
            "cxr_batch_queue_limit", "Images that may wait for the model.", registry=registry
        )
        limit.set(max_queue_length)
        self.queue_length = Gauge(
            "cxr_batch_queue_length", "Images that wait for the model.", registry=registry
        )
        self.batch_size = Histogram(
            "cxr_batch_size",
            "Images in one run of the model.",
            buckets=range(1, max_batch_size + 1),
            registry=registry,
        )
        self.wait_s = Histogram(
            "cxr_batch_wait_seconds",
            "An image's wait for its run of the model.",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.run_s = Histogram(
            "cxr_batch_run_seconds",
            "One run of the model.",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.refused = Counter(
            "cxr_batch_refused", "Images refused because the queue was full.", registry=registry
        )
