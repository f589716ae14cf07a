"""Waits for the services, then has the sample radiograph analysed by the gateway."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from cxr_launcher.settings import Service

# One of the page's examples, made by the published generator: of nobody.
SAMPLE = Path(__file__).parents[3] / "frontend/public/examples/synthetic-effusion.png"
_POLL_S = 0.1


class NotReady(RuntimeError):
    """A service did not become ready in time, or the stack stopped meanwhile."""


class Refused(RuntimeError):
    """The gateway is closed (`CXR_GATEWAY_ACCESS`), and the launcher has no key."""


def wait_until_ready(
    running: Iterable[Service], *, timeout_s: float, stopped: Callable[[], bool]
) -> None:
    """Return when `/readyz` of every service answers 200; NotReady otherwise."""
    deadline = time.monotonic() + timeout_s
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        for service in running:
            while not _is_ready(client, service):
                if stopped():
                    raise NotReady("a service has stopped; the lines above say which and why")
                if time.monotonic() > deadline:
                    raise NotReady(f"the {service.name} was not ready within {timeout_s:.0f} s")
                time.sleep(_POLL_S)


def analyse_sample(gateway: Service) -> dict[str, Any]:
    """The gateway's result for the sample radiograph.

    Raises:
        Refused: the gateway asks for a sign-in or a key.
        httpx.HTTPStatusError: it is refused for another reason.
    """
    with httpx.Client(timeout=60.0, trust_env=False) as client:
        files = {"file": (SAMPLE.name, SAMPLE.read_bytes(), "image/png")}
        response = client.post(f"{gateway.url}/api/v1/studies", files=files)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise Refused
        response.raise_for_status()
        study: dict[str, Any] = response.json()
        return study


def as_json(study: dict[str, Any]) -> str:
    """The result as indented JSON."""
    return json.dumps(study, indent=2)


def _is_ready(client: httpx.Client, service: Service) -> bool:
    try:
        return client.get(f"{service.url}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
