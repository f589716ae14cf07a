"""Drift as this gateway tells it: asked by the page, and kept in the metrics for the week."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from cxr_gateway.archive import Archive
from cxr_gateway.archive.statistics import groups_by_week
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.references import load_references
from cxr_gateway.drift.report import report_of
from cxr_gateway.drift.schemas import DriftReport
from cxr_gateway.drift.weeks import filled, weeks_until
from cxr_gateway.inference.routing import ModelRouter, identity_of


class DriftObserver:
    """Holds the archive's weeks against the reference of the models that answer."""

    def __init__(
        self,
        archive: Archive,
        router: ModelRouter,
        ood_sha256: str,
        *,
        settings: GatewaySettings,
        registry: CollectorRegistry,
    ) -> None:
        self._archive = archive
        self._router = router
        self._ood_sha256 = ood_sha256
        self._references = load_references(settings.reference_dir)
        self._min_images = settings.drift_min_studies
        self._refresh_s = settings.drift_refresh_s
        self._psi = Gauge(
            "cxr_drift_psi",
            "PSI of the current week's images against the reference; absent with too few images.",
            ["statistic"],
            registry=registry,
        )

    async def report(self, weeks: int) -> DriftReport:
        """The latest `weeks` weeks, the current one included.

        Raises:
            Unavailable: the database is locked or unreachable.
        """
        status = await self._router.classifier.status()
        classifier = identity_of(status)
        reference = None
        if classifier is not None:
            reference = self._references.of(self._ood_sha256, classifier.sha256)
        empty = list(weeks_until(datetime.now(UTC), weeks))
        names = [week.name for week in empty]
        groups = await self._archive.query(partial(groups_by_week, weeks=names))
        found = filled(empty, groups)
        why_none = self._references.why_none(classifier)
        compare = partial(report_of, found, reference, why_none, self._min_images)
        return await self._archive.in_thread(compare)

    @asynccontextmanager
    async def kept_in_metrics(self) -> AsyncIterator[None]:
        """Compute the current week's gauges now and then; nothing is to do without references."""
        if not self._references.installed:
            yield
            return
        refresh = partial(repeat, self._refresh, self._refresh_s, "drift could not be computed")
        async with in_background(refresh):
            yield

    async def _refresh(self) -> None:
        report = await self.report(weeks=1)
        self._psi.clear()
        for one in report.statistics:
            if one.psi is not None:
                self._psi.labels(one.name).set(one.psi)
