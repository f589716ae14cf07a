"""The node: its parts started and stopped in order, and the HTTP frame with probes and metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from cxr_dicom.commitment import Notary
from cxr_dicom.delivery import Courier
from cxr_dicom.fetching import fetcher_of
from cxr_dicom.forwarding import Forwarder
from cxr_dicom.gateway import GatewayClient
from cxr_dicom.ledger import InstanceState
from cxr_dicom.metrics import DicomMetrics
from cxr_dicom.operations import operations_page
from cxr_dicom.order_listener import OrderListener
from cxr_dicom.peers import Peers
from cxr_dicom.scp import Acceptor
from cxr_dicom.settings import DicomSettings
from cxr_dicom.spool import Spool
from cxr_serving.product import VERSION
from cxr_serving.service import Readiness, create_service

_LOG = logging.getLogger("cxr.dicom")
_DAY_S = 86_400.0
_CHECK_S = 2.0


class Node:
    """All parts of a running node."""

    def __init__(
        self,
        settings: DicomSettings,
        peers: Peers,
        spool: Spool,
        gateway: GatewayClient,
        metrics: DicomMetrics,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._metrics = metrics
        self.acceptor = Acceptor(settings, peers, spool, metrics)
        self._forwarder = Forwarder(settings, peers, spool, gateway, metrics)
        self._couriers = [
            Courier(settings, one, spool.ledger, gateway) for one in peers.destination
        ]
        self._notary = Notary(settings, peers, spool.ledger)
        self._orders = OrderListener(settings, peers, spool.ledger)
        self._fetchers = [
            fetcher_of(settings, one, spool, self.refusal, self._forwarder.notify)
            for one in peers.source
        ]
        self.acceptor.on_received = self._forwarder.notify
        self.acceptor.on_promised = self._notary.notify
        self._forwarder.on_queued = self._notify_couriers
        self._checked_at = 0.0
        self._found: str | None = None

    def start(self) -> None:
        """Put the spool in order, then work, then listen.

        Raises:
            OSError: the port is in use, or the spool cannot be written.
        """
        self._spool.sweep()
        self._forwarder.start()
        for courier in self._couriers:
            courier.start()
        self._notary.start()
        self._orders.start()
        self.acceptor.start(self.refusal)
        for fetcher in self._fetchers:
            fetcher.start()

    def stop(self) -> None:
        """The way back: nothing new, then the end of what goes on."""
        for fetcher in self._fetchers:
            fetcher.stop()
        self.acceptor.stop()
        self._orders.stop()
        self._forwarder.stop()
        for courier in self._couriers:
            courier.stop()
        self._notary.stop()

    def refusal(self) -> str | None:
        """Why nothing more can be kept now; None if it can. Looked at every other second."""
        now = time.monotonic()
        if now - self._checked_at >= _CHECK_S:
            self._checked_at = now
            self._found = self._look()
        return self._found

    def _look(self) -> str | None:
        free_mb = self._spool.free_bytes() / 1e6
        self._metrics.spool_free.set(free_mb * 1e6)
        if free_mb < self._settings.min_free_mb:
            return f"The spool's volume has {free_mb:.0f} MB left."
        waiting = self._spool.ledger.counts().get(("instances", InstanceState.WAITING), 0)
        if waiting >= self._settings.max_waiting:
            return f"{waiting} instances wait already."
        return None

    def forget(self) -> None:
        """Remove old rows from the ledger."""
        self._spool.ledger.forget(time.time() - self._settings.keep_rows_days * _DAY_S)

    def _notify_couriers(self) -> None:
        for courier in self._couriers:
            courier.notify()


def create_app(settings: DicomSettings, peers: Peers) -> FastAPI:
    """The node as an ASGI app: everything runs from the start of its lifespan to the end.

    Args:
        settings: limits, places, addresses.
        peers: who may send, and where results go.
    """
    metrics, readiness = DicomMetrics(), Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        spool = await asyncio.to_thread(Spool.open, settings.spool_dir)
        app.state.ledger = spool.ledger
        metrics.watch_ledger(spool.ledger.counts)
        with GatewayClient.open(settings) as gateway:
            node = Node(settings, peers, spool, gateway, metrics)
            app.state.node = node
            try:
                await asyncio.to_thread(node.start)
                watching = asyncio.create_task(_watch(node, readiness))
                try:
                    yield
                finally:
                    readiness.mark_unready("The node is stopping.")
                    watching.cancel()
            finally:
                await asyncio.to_thread(node.stop)
                spool.close()

    app = create_service(
        title="DICOM node",
        version=VERSION,
        description="Probes and metrics of the DICOM node; it speaks DICOM on another port.",
        metrics=metrics,
        readiness=readiness,
        max_body_bytes=65_536,
        lifespan=lifespan,
    )
    if settings.operations_password.get_secret_value():
        page = operations_page(settings.operations_password, lambda: app.state.ledger)
        app.include_router(page)
    return app


async def _watch(node: Node, readiness: Readiness) -> None:
    """Keep `readiness` at whether an instance would be kept, and the ledger short."""
    forgotten_at = 0.0
    while True:
        try:
            reason = await asyncio.to_thread(node.refusal)
            if time.monotonic() - forgotten_at > _DAY_S or not forgotten_at:
                forgotten_at = time.monotonic()
                await asyncio.to_thread(node.forget)
        except Exception as error:
            _LOG.exception("the spool cannot be used")
            reason = f"The spool cannot be used: {type(error).__name__}."
        if reason is None:
            readiness.mark_ready()
        else:
            readiness.mark_unready(reason)
        await asyncio.sleep(_CHECK_S)
