"""Drift as this gateway tells it: asked by the page, and kept in the metrics for the week."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from cxr_gateway.archive import Archive
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.references import load_references
from cxr_gateway.drift.report import report_of
from cxr_gateway.drift.schemas import DriftReport
from cxr_gateway.drift.weeks import filled, weeks_until
from cxr_gateway.inference.routing import ModelRouter, identity_of

_LOG = logging.getLogger(__name__)


class DriftObserver:
    """Holds the archive's weeks against the reference of the models that answer."""

    def __init__(
        self,
        archive: Archive,
        answering: ModelRouter,
        gate_sha256: str,
        *,
        settings: GatewaySettings,
        registry: CollectorRegistry,
    ) -> None:
        self._archive = archive
        self._answering = answering
        self._gate_sha256 = gate_sha256
        self._references = load_references(settings.reference_dir)
        self._min_films = settings.drift_min_studies
        self._refresh_s = settings.drift_refresh_s
        self._psi = Gauge(
            "cxr_drift_psi",
            "PSI of the current week's films against the reference; absent with too few films.",
            ["statistic"],
            registry=registry,
        )

    async def report(self, weeks: int) -> DriftReport:
        """The latest `weeks` weeks, the current one included.

        Raises:
            Unavailable: the database is locked or unreachable.
        """
        status = await self._answering.classifier.status()
        classifier = identity_of(status)
        reference = None
        if classifier is not None:
            reference = self._references.of(self._gate_sha256, classifier.sha256)
        empty = list(weeks_until(datetime.now(UTC), weeks))
        found = await self._archive.query(partial(filled, weeks=empty))
        why_none = self._references.why_none(classifier)
        compare = partial(report_of, found, reference, why_none, self._min_films)
        return await self._archive.in_thread(compare)

    @asynccontextmanager
    async def kept_in_metrics(self) -> AsyncIterator[None]:
        """Compute the current week's gauges now and then; nothing is to do without references."""
        if not self._references.installed:
            yield
            return
        worker = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    async def _keep(self) -> None:
        while True:
            try:
                report = await self.report(weeks=1)
                self._psi.clear()
                for one in report.statistics:
                    if one.psi is not None:
                        self._psi.labels(one.name).set(one.psi)
            except Exception:
                # Whatever it is must not end the watch; the page tells it to who asks.
                _LOG.warning("drift could not be computed", exc_info=True)
            await asyncio.sleep(self._refresh_s)
