"""What the gateway counts beyond its requests."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge

from cxr_contracts import Finding, Level
from cxr_gateway.core.schemas import FailureKind, Priority, Study, StudyStatus
from cxr_serving.metrics import ServiceMetrics, Span

_NO_PRIORITY = "none"
_SERVICES = ("classifier", "detector")


class OodRefusal(StrEnum):
    """Why the OOD detector refused a radiograph, as far as a counter needs to know."""

    TAGS = "tags"  # the file's own DICOM tags name another body part, modality or view
    COLOUR = "colour"  # an image in colour
    QUALITY = "quality"  # too poor to be read
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
            "Analyses that the classifier answered; the denominator of the findings by level.",
            registry=self.registry,
        )
        self._findings = self._counter(
            "cxr_findings",
            "Findings of classified studies, by their evidence level.",
            ["finding", "level"],
            product(Finding, Level),
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
        self.event_streams = self._gauge(
            "cxr_event_streams", "Clients that follow the changes by server-sent events."
        )
        self.archive_free = self._gauge(
            "cxr_archive_free_bytes", "Free on the volume of the archive's folder."
        )
        self.archive_size = self._gauge(
            "cxr_archive_size_bytes", "Size of the volume of the archive's folder."
        )

        self.audit = AuditMetrics(self.registry)
        self.sign_in_failures = Counter(
            "cxr_sign_in_failures",
            "Keys, tokens and sign-ins that were refused.",
            registry=self.registry,
        )
        self.decoder_failures = Counter(
            "cxr_decoder_failures",
            "Worker processes that failed on a file, or were not done in time.",
            registry=self.registry,
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
            self._findings.labels(row.finding.value, row.level.value).inc()

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


class AuditMetrics:
    """What is counted of the audit log, and of what keeps it: database, clock, backups.

    A time is in seconds since 1970. What is not known yet is not there, or 0 for a time.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        counter = partial(Counter, registry=registry)
        self.intact = gauge(
            "cxr_audit_chain_intact", "1 where the audit log was verified, 0 where it is broken."
        )
        self.intact.set(1)
        self.verified_at = gauge(
            "cxr_audit_verified_timestamp_seconds", "When the audit log was found whole."
        )
        self.clock_steps = counter(
            "cxr_audit_clock_steps", "Entries before which a clock was set back."
        )
        self.spooled = gauge(
            "cxr_audit_spooled_entries", "Entries that wait because the database is full."
        )
        self.summarised = counter(
            "cxr_audit_summarised_requests", "Refusals that were counted, not written one by one."
        )
        self.shipped_at = gauge(
            "cxr_audit_shipped_timestamp_seconds", "When all was sent that there was.", ["kind"]
        )
        self.ship_failures = counter(
            "cxr_audit_ship_failures", "Places that were not reached.", ["kind"]
        )
        for kind in ("anchors", "entries"):
            self.ship_failures.labels(kind)
        self.backup_at = gauge("cxr_backup_timestamp_seconds", "When the last backup was made.")
        self.database_size = gauge("cxr_database_size_bytes", "Of the archive's database.")
        self.database_volume = gauge(
            "cxr_database_volume_bytes", "Size of its volume, as a setting says; 0 if none does."
        )
        self.clock_skew = gauge(
            "cxr_clock_skew_seconds", "By how much the database server's clock is ahead of ours."
        )

    @classmethod
    def unseen(cls) -> "AuditMetrics":
        """For a command, which nobody scrapes."""
        return cls(CollectorRegistry())


def _outcomes() -> Iterator[tuple[str, str]]:
    """Every pair of a status and a priority that a study can have."""
    for status in (StudyStatus.COMPLETE, StudyStatus.PARTIAL):
        yield from product((status,), Priority)
    yield from product((StudyStatus.FAILED, StudyStatus.REJECTED), (_NO_PRIORITY,))
