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
from support.fake_gateway import Stand, client_of, settings_for, standing_gateway
from support.fake_oidc import SETTINGS, OidcStand


def closed_settings(
    archive_dir: Path, database_url: str | None = None, **more: Any
) -> GatewaySettings:
    """Settings of a gateway with sign-in, API keys and departments."""
    return settings_for(archive_dir, database_url, **(SETTINGS | more))


@asynccontextmanager
async def closed_gateway(
    settings: GatewaySettings, oidc: OidcStand | None = None
) -> AsyncIterator[Stand]:
    """The gateway's app behind its guard; the client of the stand is nobody."""
    async with standing_gateway(settings, provider=(oidc or OidcStand()).opener) as stand:
        yield stand


def keys_of(stand: Stand) -> Keys:
    """The keys in the gateway's database."""
    keys: Keys = stand.app.state.gateway.authenticator.keys
    return keys


def a_key(
    stand: Stand,
    *roles: Role,
    department: str | None = None,
    lasts: timedelta | None = timedelta(days=1),
) -> str:
    """A new key, as its system sends it."""
    until = None if lasts is None else now() + lasts
    return keys_of(stand).create("a system", frozenset(roles), department, until)[1]


def client_with(stand: Stand, token: str) -> httpx.AsyncClient:
    """A client that sends a key or an access token."""
    return client_of(stand.app, Authorization=f"Bearer {token}")


def client_as(stand: Stand, *roles: Role, department: str | None = None) -> httpx.AsyncClient:
    """A client with a new key of these roles."""
    return client_with(stand, a_key(stand, *roles, department=department))


async def send(client: httpx.AsyncClient, content: bytes, **headers: str) -> httpx.Response:
    """Upload a file."""
    files = {"file": ("radiograph.png", content, "image/png")}
    return await client.post("/api/v1/studies", files=files, headers=headers)
