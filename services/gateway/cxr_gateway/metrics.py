"""What the gateway counts beyond its requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from prometheus_client import Counter

from cxr_gateway.schemas import Study
from cxr_serving.metrics import ServiceMetrics


@dataclass
class Span:
    """A measured stretch of time; `ms` is set when it has ended."""

    ms: float = 0.0


class GatewayMetrics(ServiceMetrics):
    """Latency by stage, studies by outcome, failures of the readers by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = self.stage_histogram(
            "cxr_study_stage_seconds", "Time of a study in each stage of its reading."
        )
        self.studies = Counter(
            "cxr_studies",
            "Finished readings.",
            ["status", "priority"],
            registry=self.registry,
        )
        self.reader_failures = Counter(
            "cxr_reader_failures",
            "Calls of a reader without a usable answer.",
            ["reader", "kind"],
            registry=self.registry,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[Span]:
        """Measure a stage, whether it succeeds or not."""
        span, started = Span(), perf_counter()
        try:
            yield span
        finally:
            seconds = perf_counter() - started
            span.ms = round(seconds * 1000, 2)
            self.stages.labels(name).observe(seconds)

    def count(self, study: Study) -> None:
        """Count a finished reading and what failed in it."""
        priority = study.triage.priority.value if study.triage else "none"
        self.studies.labels(study.status.value, priority).inc()
        for problem in study.problems:
            self.reader_failures.labels(problem.part, problem.kind).inc()
