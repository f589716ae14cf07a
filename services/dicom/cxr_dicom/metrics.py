"""What the node counts; see cxr_serving.metrics for the rules of labels."""

from collections.abc import Callable, Iterator

from prometheus_client import Counter, Gauge
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from cxr_dicom.ledger import DeliveryState, InstanceState
from cxr_serving.metrics import ServiceMetrics

_OUTCOMES = ("kept", "duplicate", "refused", "not-authorised", "dropped")


class DicomMetrics(ServiceMetrics):
    """Counters of associations and instances; the ledger's states are read at each scrape."""

    def __init__(self) -> None:
        super().__init__()
        self.received = Counter(
            "cxr_dicom_received", "C-STORE requests, by outcome.", ["outcome"],
            registry=self.registry,
        )  # fmt: skip
        for outcome in _OUTCOMES:
            self.received.labels(outcome)
        self.rejected = Counter(
            "cxr_dicom_associations_rejected", "Associations rejected: `unknown` peers, or "
            "`refused` by a wrong called title or for their number.", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        for reason in ("unknown", "refused"):
            self.rejected.labels(reason)
        self.aborted = Counter(
            "cxr_dicom_associations_aborted", "Associations that ended in an abort.",
            registry=self.registry,
        )  # fmt: skip
        self.gateway_failures = Counter(
            "cxr_dicom_gateway_failures", "Requests that the gateway did not answer with a study.",
            registry=self.registry,
        )  # fmt: skip
        self.spool_free = Gauge(
            "cxr_dicom_spool_free_bytes", "Room on the spool's volume.", registry=self.registry
        )

    def watch_ledger(self, counts: Callable[[], dict[tuple[str, str], int]]) -> None:
        """Have `counts` asked at each scrape."""
        self.registry.register(_LedgerCollector(counts))


class _LedgerCollector(Collector):
    def __init__(self, counts: Callable[[], dict[tuple[str, str], int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._counts()
        for table, states in (("instances", InstanceState), ("deliveries", DeliveryState)):
            family = GaugeMetricFamily(
                f"cxr_dicom_{table}", f"Rows of the ledger's {table}, by state.", labels=["state"]
            )
            for state in states:
                family.add_metric([state.value], counts.get((table, state.value), 0))
            yield family
