"""A closed gateway for tests, with keys made in its own database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from cxr_gateway.archive.api_keys import Keys
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.tokens import now
from support.fake_gateway import RunningGateway, client_of, running_gateway, settings_for
from support.fake_oidc import SETTINGS, FakeOidcProvider


def closed_settings(
    archive_dir: Path, database_url: str | None = None, **more: Any
) -> GatewaySettings:
    """Settings of a gateway with sign-in, API keys and departments."""
    return settings_for(archive_dir, database_url, **(SETTINGS | more))


@asynccontextmanager
async def closed_gateway(
    settings: GatewaySettings, oidc: FakeOidcProvider | None = None
) -> AsyncIterator[RunningGateway]:
    """The gateway's app behind its guard; the client of the stand is nobody."""
    async with running_gateway(settings, provider=(oidc or FakeOidcProvider()).opener) as gateway:
        yield gateway


def keys_of(gateway: RunningGateway) -> Keys:
    """The keys in the gateway's database."""
    keys: Keys = gateway.app.state.gateway.authenticator.keys
    return keys


def a_key(
    gateway: RunningGateway,
    *roles: Role,
    department: str | None = None,
    lasts: timedelta | None = timedelta(days=1),
) -> str:
    """A new key, as its system sends it."""
    until = None if lasts is None else now() + lasts
    return keys_of(gateway).create("a system", frozenset(roles), department, until)[1]


def client_with(gateway: RunningGateway, token: str) -> httpx.AsyncClient:
    """A client that sends a key or an access token."""
    return client_of(gateway.app, Authorization=f"Bearer {token}")


def client_as(
    gateway: RunningGateway, *roles: Role, department: str | None = None
) -> httpx.AsyncClient:
    """A client with a new key of these roles."""
    return client_with(gateway, a_key(gateway, *roles, department=department))


async def send(client: httpx.AsyncClient, content: bytes, **headers: str) -> httpx.Response:
    """Upload a file."""
    files = {"file": ("radiograph.png", content, "image/png")}
    return await client.post("/api/v1/studies", files=files, headers=headers)
