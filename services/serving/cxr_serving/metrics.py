"""Prometheus metrics, in a registry of each app's own, so that many apps fit in one process."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

# Seconds; dense between 10 ms and 1 s, where a reader's answers lie.
_LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30)


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
            "From the request's first byte to the answer's last.",
            ["method", "route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "cxr_http_requests_in_flight", "Requests being answered now.", registry=self.registry
        )

    def stage_histogram(self, name: str, description: str) -> Histogram:
        """A histogram `name` of seconds with the label `stage`; for the parts of an answer."""
        return Histogram(
            name, description, ["stage"], buckets=_LATENCY_BUCKETS_S, registry=self.registry
        )

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class BatchMetrics:
    """What a micro-batcher counts."""

    def __init__(self, registry: CollectorRegistry, max_batch_size: int) -> None:
        self.queue_length = Gauge(
            "cxr_batch_queue_length", "Images that wait for the model.", registry=registry
        )
        self.batch_size = Histogram(
            "cxr_batch_size",
            "Images in one run of the model.",
            buckets=range(1, max_batch_size + 1),
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
