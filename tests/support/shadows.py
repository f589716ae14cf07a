"""A gateway with a shadow of each role, for tests: what it recorded, and what is promoted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr_contracts import ModelIdentity
from cxr_gateway.api.dependencies import AppState
from cxr_gateway.archive.tables import ShadowAnswerRow
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.shadow.evidence import Evidence
from cxr_gateway.shadow.promoting import ask_services, promote, roll_back
from support.fake_gateway import (
    CLASSIFIER_URL,
    DETECTOR_URL,
    FakeService,
    RunningGateway,
    running_gateway,
    services_over,
)

SHADOW_CLASSIFIER_URL = "http://shadow-classifier.test"
SHADOW_DETECTOR_URL = "http://shadow-detector.test"
NEW_SHA = "cd" * 32
# Shadows that read at once; which model answers is looked up when the test says so.
WITH_SHADOWS: dict[str, Any] = {
    "shadow_classifier_url": SHADOW_CLASSIFIER_URL,
    "shadow_detector_url": SHADOW_DETECTOR_URL,
    "shadow_idle_s": 0,
    "promotion_poll_s": 3600,
}


@dataclass
class FourServices:
    """Both services and their shadows, of another model; any may be replaced."""

    classifier: FakeService = field(default_factory=lambda: FakeService("classifier"))
    detector: FakeService = field(default_factory=lambda: FakeService("detector"))
    shadow_classifier: FakeService = field(
        default_factory=lambda: FakeService("classifier", sha256=NEW_SHA)
    )
    shadow_detector: FakeService = field(
        default_factory=lambda: FakeService("detector", sha256=NEW_SHA)
    )

    def transports(self) -> dict[str, httpx.AsyncBaseTransport]:
        """Each behind its address."""
        stands = {
            CLASSIFIER_URL: self.classifier,
            DETECTOR_URL: self.detector,
            SHADOW_CLASSIFIER_URL: self.shadow_classifier,
            SHADOW_DETECTOR_URL: self.shadow_detector,
        }
        return {url: httpx.ASGITransport(gateway.app()) for url, gateway in stands.items()}


@dataclass
class GatewayWithShadows:
    """A running gateway over four services."""

    gateway: RunningGateway
    services: FourServices
    settings: GatewaySettings

    @property
    def parts(self) -> AppState:
        """What the gateway is made of."""
        return cast(AppState, self.gateway.app.state.gateway)

    async def get(self, path: str) -> dict[str, Any]:
        """What the gateway answers."""
        answer = await self.gateway.client.get(path)
        assert answer.status_code == 200, answer.text
        return cast(dict[str, Any], answer.json())

    async def read(self, content: bytes) -> dict[str, Any]:
        """A new study."""
        answer = await self.gateway.post(content)
        assert answer.status_code == 201, answer.text
        return cast(dict[str, Any], answer.json())

    async def recorded(self, count: int) -> list[dict[str, Any]]:
        """The recorded answers of shadows, the first first, once there are `count`."""
        rows: list[dict[str, Any]] = []

        async def enough() -> bool:
            rows[:] = await self.parts.archive.query(_rows)
            return len(rows) >= count

        await until(enough, f"{count} answers were not recorded")
        assert len(rows) == count
        return rows

    async def readings(self, role: str, outcome: str) -> int:
        """How many of a shadow's readings ended so, by the gateway's metrics."""
        lines = (await self.gateway.client.get("/metrics")).text.splitlines()
        head = f'cxr_shadow_analyses_total{{outcome="{outcome}",role="{role}"}} '
        return sum(round(float(line.removeprefix(head))) for line in lines if head in line)

    async def promote(self, role: str, evidence: Evidence | None = None) -> ModelIdentity:
        """Promote as the operator's command does; the model that answers from then on."""
        found = await ask_services(self.settings, role, services_over(self.services.transports()))
        model, _ = await asyncio.to_thread(
            promote, self.settings, role, found, made_by="tester", evidence=evidence
        )
        return model

    async def roll_back(self, role: str) -> ModelIdentity:
        """Likewise take the last promotion back."""
        found = await ask_services(self.settings, role, services_over(self.services.transports()))
        model, _ = await asyncio.to_thread(roll_back, self.settings, role, found, made_by="tester")
        return model


@asynccontextmanager
async def running_with_shadows(
    settings: GatewaySettings, services: FourServices | None = None
) -> AsyncIterator[GatewayWithShadows]:
    """A gateway of these settings, which name the shadows (`WITH_SHADOWS`)."""
    services = services or FourServices()
    async with running_gateway(settings, transports=services.transports()) as gateway:
        yield GatewayWithShadows(gateway, services, settings)


async def until(
    holds: Callable[[], Awaitable[bool]], otherwise: str, timeout_s: float = 30
) -> None:
    """Return once `holds`; fail with a sentence if it does not come to that."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await holds():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(otherwise) from None


def _rows(session: Session) -> list[dict[str, Any]]:
    columns = ShadowAnswerRow.__table__.c
    return [dict(row) for row in session.execute(select(*columns).order_by(columns.id)).mappings()]
