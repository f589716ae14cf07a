"""How many studies are urgent, beside the budget that was set for them, in the metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from cxr_gateway.analysis.triage import triage_status
from cxr_gateway.analysis.triage_model import TriageModels
from cxr_gateway.archive import Archive
from cxr_gateway.archive.triage_thresholds import priorities_since
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.ids import first_id_at
from cxr_gateway.core.schemas import Priority
from cxr_gateway.inference.routing import ModelRouter, identity_of

WINDOWS = {"day": timedelta(days=1), "week": timedelta(days=7)}


class UrgentShare:
    """Counts the priorities of the last day and week now and then."""

    def __init__(
        self,
        archive: Archive,
        router: ModelRouter,
        models: TriageModels,
        *,
        refresh_s: float,
        registry: CollectorRegistry,
    ) -> None:
        self._archive = archive
        self._router = router
        self._models = models
        self._refresh_s = refresh_s
        self._share = Gauge(
            "cxr_urgent_share",
            "Share of the studies of the last day or week that are urgent; absent without any.",
            ["window"],
            registry=registry,
        )
        self._triaged = Gauge(
            "cxr_triaged_studies",
            "Studies of the last day or week that have a priority.",
            ["window"],
            registry=registry,
        )
        self._budget = Gauge(
            "cxr_alert_budget", "The share of studies that is to be urgent.", registry=registry
        )

    @asynccontextmanager
    async def kept_in_metrics(self) -> AsyncIterator[None]:
        """Count until the end of the block."""
        failure = "the share of urgent studies could not be counted"
        async with in_background(partial(repeat, self._refresh, self._refresh_s, failure)):
            yield

    async def _refresh(self) -> None:
        services = {one.role.value: identity_of(one) for one in await self._router.status()}
        status = triage_status(self._models, services.get("classifier"), services.get("detector"))
        self._budget.set(status.alert_budget)
        now = datetime.now(UTC)
        for window, length in WINDOWS.items():
            first = first_id_at(now - length)
            counts = await self._archive.query(partial(priorities_since, first_id=first))
            total = sum(counts.values())
            self._triaged.labels(window).set(total)
            if total:
                self._share.labels(window).set(counts[Priority.URGENT] / total)
            else:
                self._share.remove(window)
