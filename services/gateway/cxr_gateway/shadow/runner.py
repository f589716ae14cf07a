"""Shadows at work: what was answered is analysed again by a second model, and its answer recorded.

Nobody waits for it. A study is expected after its answer; a worker takes it up in an idle moment,
decodes the archived file anew (an image that waits would cost its size in memory) and asks each
shadow. What does not fit into the queue is not read by a shadow, and counted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter

from cxr_contracts import ClassifyResponse, DetectResponse
from cxr_gateway.analysis.analyzer import (
    Analysis,
    Analyzer,
    image_for_services,
)
from cxr_gateway.analysis.triage_model import TriageModels
from cxr_gateway.archive import Archive, StoredStudy
from cxr_gateway.archive.promotions import ROLES
from cxr_gateway.archive.shadow_answers import add_shadow_answer
from cxr_gateway.core.background import idle_for, in_background
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import Limits
from cxr_gateway.inference.clients import ClassifierClient, DetectorClient, EncodedImage
from cxr_gateway.inference.failures import InferenceFailure
from cxr_gateway.inference.routing import ModelRouter, Shadow
from cxr_gateway.shadow.recording import ShadowAnalysis, columns_of, current_model

_LOG = logging.getLogger(__name__)
# What was accepted once can be analysed again, whatever the limits are by then.
_NO_LIMITS = Limits(max_bytes=1 << 40, max_pixels=1 << 40)
_AnyShadow = Shadow[ClassifierClient] | Shadow[DetectorClient]


@dataclass(frozen=True)
class _Waiting:
    stored: StoredStudy
    analysis: Analysis


class ShadowRunner:
    """Reads what was answered with the shadows, and records their answers."""

    def __init__(
        self,
        archive: Archive,
        analyzer: Analyzer,
        router: ModelRouter,
        triage: TriageModels,
        *,
        settings: GatewaySettings,
        registry: CollectorRegistry,
    ) -> None:
        self._archive = archive
        self._analyzer = analyzer
        self._router = router
        self._triage = triage
        self._idle_s = settings.shadow_idle_s
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(settings.shadow_queue_length)
        self._readings = Counter(
            "cxr_shadow_analyses",
            "Studies for a shadow: recorded, failed (recorded, too), dropped (the queue was "
            "full) or lost (not recorded).",
            ["role", "outcome"],
            registry=registry,
        )

    def expect(self, stored: StoredStudy, analysis: Analysis) -> None:
        """Have a study read by the shadows of the roles that answered it; returns at once."""
        roles = self._roles(analysis)
        if not roles:
            return
        try:
            self._waiting.put_nowait(_Waiting(stored, analysis))
        except asyncio.QueueFull:
            for role in roles:
                self._readings.labels(role, "dropped").inc()

    @asynccontextmanager
    async def read_when_idle(self, idle: asyncio.Event) -> AsyncIterator[None]:
        """Run the worker while nobody is being served; without shadows there is none."""
        if not self._router.has_shadows:
            yield
            return
        async with in_background(partial(self._work, idle)):
            yield

    async def _work(self, idle: asyncio.Event) -> None:
        while True:
            waiting = await self._waiting.get()
            await idle_for(idle, self._idle_s)
            # Asked anew: meanwhile another model may have been promoted.
            for role, shadow in self._roles(waiting.analysis).items():
                try:
                    outcome = await self._read(waiting, role, shadow)
                except Exception:
                    # Whatever it is must not end the worker; the study was answered long ago.
                    _LOG.warning("a shadow's answer could not be recorded", exc_info=True)
                    outcome = "lost"
                self._readings.labels(role, outcome).inc()

    def _roles(self, analysis: Analysis) -> dict[str, _AnyShadow]:
        """The shadows of roles that answered, where theirs is another model."""
        shadows: tuple[_AnyShadow | None, ...] = (
            self._router.shadow_classifier,
            self._router.shadow_detector,
        )
        found = {}
        for role, shadow in zip(ROLES, shadows, strict=True):
            shown = current_model(analysis, role)
            if shadow and shown and shown.sha256 != shadow.model.sha256:
                found[role] = shadow
        return found

    async def _read(self, waiting: _Waiting, role: str, shadow: _AnyShadow) -> str:
        image = await self._analyzer.in_thread(self._encoded, waiting.stored)
        started = perf_counter()
        answer: ClassifyResponse | DetectResponse | InferenceFailure
        try:
            answer = await self._asked(shadow.client, image)
        except InferenceFailure as failure:
            answer = failure
        duration_ms = round((perf_counter() - started) * 1000, 2)
        # The model that answered; where none did, the one that was there before.
        model = shadow.model if isinstance(answer, InferenceFailure) else answer.model
        recorded = ShadowAnalysis(role, model, duration_ms, answer)
        columns = columns_of(waiting.stored, waiting.analysis, recorded, self._triage)
        await self._archive.query(partial(add_shadow_answer, columns=columns))
        return "failed" if isinstance(answer, InferenceFailure) else "recorded"

    async def _asked(
        self, client: ClassifierClient | DetectorClient, image: EncodedImage
    ) -> ClassifyResponse | DetectResponse:
        if isinstance(client, ClassifierClient):
            return await client.classify(image, explain=0)
        return await client.detect(image, min_score=self._triage.min_score)

    def _encoded(self, stored: StoredStudy) -> EncodedImage:
        with self._archive.files.opened(stored.id, stored.original) as file:
            return image_for_services(self._analyzer.decoder.decode(file, _NO_LIMITS))
