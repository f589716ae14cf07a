"""Which reader of each role answers, and which is its shadow, at this gateway and now.

Where a role has one address, it answers and nothing is looked up. Where it has two, the state is
kept beside the readings: looked up every few seconds, so that a promotion needs no restart and a
reading no question to the database.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from cxr_contracts import ModelIdentity
from cxr_gateway.archive import Archive
from cxr_gateway.core.schemas import ServiceStatus
from cxr_gateway.inference.clients import ClassifierClient, DetectorClient, InferenceClient, Readers
from cxr_gateway.shadow.promotions import Promotion, Slot, answering_slot, latest_promotions
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_Client = TypeVar("_Client", bound=InferenceClient)


def identity_of(status: ServiceStatus) -> ModelIdentity | None:
    """The model of a reader that is ready."""
    if status.model is None:
        return None
    return ModelIdentity.model_validate(status.model.model_dump(exclude={"role"}))


@dataclass(frozen=True)
class Shadow(Generic[_Client]):
    """A reader in the background, and the model that it had when it was last ready."""

    client: _Client
    model: ModelIdentity


class _Role(Generic[_Client]):
    """The two addresses of one role."""

    def __init__(self, first: _Client, second: _Client | None) -> None:
        self._clients = {Slot.FIRST: first}
        if second is not None:
            self._clients[Slot.SECOND] = second
        self._models: dict[Slot, ModelIdentity] = {}
        self._slot = Slot.FIRST

    @property
    def name(self) -> str:
        return self._clients[Slot.FIRST].role

    @property
    def answering(self) -> _Client:
        return self._clients[self._slot]

    @property
    def shadow(self) -> Shadow[_Client] | None:
        client, model = self._clients.get(self._slot.other), self._models.get(self._slot.other)
        return None if client is None or model is None else Shadow(client, model)

    @property
    def has_two(self) -> bool:
        return Slot.SECOND in self._clients

    async def refresh(self, promoted: Promotion | None) -> None:
        statuses = await asyncio.gather(*(client.status() for client in self._clients.values()))
        now = dict(zip(self._clients, map(identity_of, statuses), strict=True))
        self._models |= {slot: model for slot, model in now.items() if model is not None}
        slot = answering_slot(promoted, now[Slot.FIRST], now.get(Slot.SECOND))
        if slot is not self._slot:
            self._slot = slot
            found = self._models.get(slot)
            named = {"model": found.name, "version": found.version} if found else {}
            _LOG.info("another model answers", extra={"reader": self.name, **named})


class ModelRouter:
    """The readers that answer, and their shadows."""

    def __init__(self, readers: Readers, archive: Archive, poll_s: float) -> None:
        self._classifier = _Role(readers.classifier, readers.second_classifier)
        self._detector = _Role(readers.detector, readers.second_detector)
        self._archive = archive
        self._poll_s = poll_s

    @property
    def classifier(self) -> ClassifierClient:
        """The one whose answers are shown."""
        return self._classifier.answering

    @property
    def detector(self) -> DetectorClient:
        """The one whose answers are shown."""
        return self._detector.answering

    @property
    def shadow_classifier(self) -> Shadow[ClassifierClient] | None:
        """None where there is none, or it has not been ready yet."""
        return self._classifier.shadow

    @property
    def shadow_detector(self) -> Shadow[DetectorClient] | None:
        """None where there is none, or it has not been ready yet."""
        return self._detector.shadow

    @property
    def has_shadows(self) -> bool:
        """Whether any role has a second address."""
        return self._classifier.has_two or self._detector.has_two

    async def status(self) -> list[ServiceStatus]:
        """The readers that answer as they are now, probed at the same time."""
        return list(await asyncio.gather(self.classifier.status(), self.detector.status()))

    async def shadow_status(self) -> list[ServiceStatus]:
        """Likewise the shadows that have been ready once."""
        shadows = [one for one in (self.shadow_classifier, self.shadow_detector) if one]
        return list(await asyncio.gather(*(shadow.client.status() for shadow in shadows)))

    async def refresh(self) -> None:
        """Look up what was promoted and which model is where."""
        try:
            promoted = await self._archive.query(latest_promotions)
        except ServiceError as error:
            # Whoever answered goes on.
            _LOG.warning("promotions could not be looked up", extra={"detail": error.detail})
            return
        await asyncio.gather(
            *(
                role.refresh(promoted.get(role.name))
                for role in (self._classifier, self._detector)
                if role.has_two
            )
        )

    @asynccontextmanager
    async def kept_current(self) -> AsyncIterator[None]:
        """Look up now, and again and again, where a role has two addresses."""
        if not self.has_shadows:
            yield
            return
        await self.refresh()
        watcher = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.refresh()
            except Exception:
                # Whatever it is must not end the watch: the next promotion counts, too.
                _LOG.warning("which model answers could not be looked up", exc_info=True)
