"""What the gateway counts beyond its requests."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from itertools import product

from prometheus_client import Counter, Gauge

from cxr_contracts import Finding
from cxr_gateway.core.schemas import FailureKind, Priority, Study, StudyStatus
from cxr_serving.metrics import ServiceMetrics, Span

_NO_PRIORITY = "none"
_SERVICES = ("classifier", "detector")


class OodRefusal(StrEnum):
    """Why the OOD detector refused a radiograph, as far as a counter needs to know."""

    TAGS = "tags"  # the file's own DICOM tags name another body part, modality or view
    COLOUR = "colour"  # an image in colour
    IMAGE = "image"  # the image itself, by the network or by its shape


class GatewayMetrics(ServiceMetrics):
    """Latency, queues, studies by outcome, findings, refusals, the archive's room."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = self.stages(
            "cxr_study_stage_seconds", "Time of a study in each stage of its analysis."
        )
        self._study_s = self.histogram_s(
            "cxr_study_seconds",
            "From a received file to its archived result, all waiting included.",
        )
        self._studies = self._counter(
            "cxr_studies", "Finished analyses.", ["status", "priority"], _outcomes()
        )
        self._inference_failures = self._counter(
            "cxr_inference_failures",
            "Calls of an inference service without a usable response.",
            ["service", "kind"],
            product(_SERVICES, FailureKind),
        )
        self._ood_refusals = self._counter(
            "cxr_ood_refusals",
            "Images that were refused as no frontal chest radiograph.",
            ["reason"],
            ((reason,) for reason in OodRefusal),
        )
        self._classified = Counter(
            "cxr_classified_studies",
            "Analyses that the classifier answered; the denominator of the positive findings.",
            registry=self.registry,
        )
        self._positive = self._counter(
            "cxr_positive_findings",
            "Findings at or above their operating threshold.",
            ["finding"],
            ((finding,) for finding in Finding),
        )
        self.studies_in_flight = self._gauge(
            "cxr_studies_in_flight", "Uploads and repeated analyses inside the gateway."
        )
        self.studies_in_flight_limit = self._gauge(
            "cxr_studies_in_flight_limit", "More at once are refused."
        )
        self.studies_waiting = self._gauge(
            "cxr_studies_waiting", "Received studies that wait to be analysed."
        )
        self.archive_free = self._gauge(
            "cxr_archive_free_bytes", "Free on the volume of the archive's folder."
        )
        self.archive_size = self._gauge(
            "cxr_archive_size_bytes", "Size of the volume of the archive's folder."
        )

    def stage(self, name: str, *, asks: bool = False) -> AbstractContextManager[Span]:
        """Measure a stage, whether it succeeds or not; `asks` where a service does the work."""
        return self._stages.measure(name, asks=asks)

    def count(self, study: Study, seconds: float) -> None:
        """Count a finished analysis that took so long, what it found and what failed in it."""
        priority = study.triage.priority.value if study.triage else _NO_PRIORITY
        self._studies.labels(study.status.value, priority).inc()
        self._study_s.observe(seconds)
        for problem in study.problems:
            self._inference_failures.labels(problem.service, problem.kind).inc()
        if study.findings:
            self._classified.inc()
        for row in study.findings:
            if row.positive:
                self._positive.labels(row.finding.value).inc()

    def count_refusal(self, reason: OodRefusal) -> None:
        """Count a radiograph that the OOD detector refused."""
        self._ood_refusals.labels(reason.value).inc()

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
