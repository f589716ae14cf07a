"""What the gateway counts beyond its requests."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from itertools import product

from prometheus_client import Counter, Gauge

from cxr_contracts import Finding
from cxr_gateway.core.schemas import Priority, Study, StudyStatus
from cxr_gateway.inference.failures import FailureKind
from cxr_serving.metrics import ServiceMetrics, Span

_NO_PRIORITY = "none"
_READERS = ("classifier", "detector")


class OodRefusal(StrEnum):
    """Why the gate refused a film, as far as a counter needs to know."""

    TAGS = "tags"  # the file's own DICOM tags name another body part, modality or view
    COLOUR = "colour"  # a picture in colour
    PICTURE = "picture"  # the picture itself, by the network or by its shape


class GatewayMetrics(ServiceMetrics):
    """Latency, queues, studies by outcome, findings, refusals, the archive's room."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = self.stages(
            "cxr_study_stage_seconds", "Time of a study in each stage of its reading."
        )
        self._study_s = self.histogram_s(
            "cxr_study_seconds",
            "From a received file to its archived result, all waiting included.",
        )
        self._studies = self._counter(
            "cxr_studies", "Finished readings.", ["status", "priority"], _outcomes()
        )
        self._reader_failures = self._counter(
            "cxr_reader_failures",
            "Calls of a reader without a usable answer.",
            ["reader", "kind"],
            product(_READERS, FailureKind),
        )
        self._gate_refusals = self._counter(
            "cxr_gate_refusals",
            "Films that the gate refused.",
            ["reason"],
            ((reason,) for reason in OodRefusal),
        )
        self._classified = Counter(
            "cxr_classified_studies",
            "Readings that the classifier answered; of these the positive findings are a share.",
            registry=self.registry,
        )
        self._positive = self._counter(
            "cxr_positive_findings",
            "Findings at or above their operating threshold.",
            ["finding"],
            ((finding,) for finding in Finding),
        )
        self.studies_in_flight = self._gauge(
            "cxr_studies_in_flight", "Uploads and re-readings inside the gateway."
        )
        self.studies_in_flight_limit = self._gauge(
            "cxr_studies_in_flight_limit", "More at once are refused."
        )
        self.readings_waiting = self._gauge(
            "cxr_readings_waiting", "Received studies that wait for their turn to be read."
        )
        self.archive_free = self._gauge(
            "cxr_archive_free_bytes", "Free on the volume of the archive's folder."
        )
        self.archive_size = self._gauge(
            "cxr_archive_size_bytes", "Size of the volume of the archive's folder."
        )

    def stage(self, name: str, *, asks: bool = False) -> AbstractContextManager[Span]:
        """Measure a stage, whether it succeeds or not; `asks` where a reader does the work."""
        return self._stages.measure(name, asks=asks)

    def count(self, study: Study, seconds: float) -> None:
        """Count a finished reading that took so long, what it found and what failed in it."""
        priority = study.triage.priority.value if study.triage else _NO_PRIORITY
        self._studies.labels(study.status.value, priority).inc()
        self._study_s.observe(seconds)
        for problem in study.problems:
            self._reader_failures.labels(problem.part, problem.kind).inc()
        if study.findings:
            self._classified.inc()
        for row in study.findings:
            if row.positive:
                self._positive.labels(row.finding.value).inc()

    def count_refusal(self, reason: OodRefusal) -> None:
        """Count a film that the gate refused."""
        self._gate_refusals.labels(reason.value).inc()

    def _counter(
        self, name: str, description: str, labels: list[str], values: Iterable[tuple[str, ...]]
    ) -> Counter:
        """A counter that is there, at zero, for all `values` of its labels."""
        counter = Counter(name, description, labels, registry=self.registry)
        for combination in values:
            counter.labels(*combination)
        return counter

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(name, description, registry=self.registry)


def _outcomes() -> Iterator[tuple[str, str]]:
    """Every pair of a status and a priority that a study can have."""
    for status in (StudyStatus.COMPLETE, StudyStatus.PARTIAL):
        yield from product((status,), Priority)
    yield from product((StudyStatus.FAILED, StudyStatus.REJECTED), (_NO_PRIORITY,))
