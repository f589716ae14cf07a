"""Sends uploads to a service and takes the time, from one client or from several at once."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """A service under measurement: where to post, and the name of the file field."""

    name: str
    url: str
    field: str = "file"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of requests showed."""

    latencies_ms: np.ndarray
    wall_s: float
    responses: list[dict[str, Any]]

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return float(np.percentile(self.latencies_ms, 50))

    @property
    def p95_ms(self) -> float:
        """95th percentile of the latency."""
        return float(np.percentile(self.latencies_ms, 95))

    @property
    def per_second(self) -> float:
        """Responses a second."""
        return len(self.latencies_ms) / self.wall_s


def send(target: Target, images: Iterator[bytes], *, requests: int, clients: int) -> Run:
    """Post `requests` images from `clients` clients, each waiting for its response.

    Raises:
        RuntimeError: a response is not 2xx; a refused request must not count as a fast one.
    """
    return asyncio.run(_send(target, images, requests, clients))


async def _send(target: Target, images: Iterator[bytes], requests: int, clients: int) -> Run:
    latencies: list[float] = []
    responses: list[dict[str, Any]] = []
    remaining = iter(range(requests))

    async def one_client(client: httpx.AsyncClient) -> None:
        for _ in remaining:
            image = next(images)
            start = time.perf_counter()
            response = await client.post(target.url, files={target.field: ("radiograph", image)})
            latencies.append((time.perf_counter() - start) * 1000)
            if not response.is_success:
                raise RuntimeError(f"{target.name}: {response.status_code} {response.text[:300]}")
            responses.append(response.json())

    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(one_client(client))
        wall = time.perf_counter() - start
    return Run(np.array(latencies), wall, responses)
