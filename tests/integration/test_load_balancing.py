"""One name, several services: real servers on several addresses, as containers have them."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cxr_gateway.inference.clients import (
    EncodedImage,
    InferenceClients,
    SpreadingTransport,
    open_clients,
)
from cxr_gateway.inference.failures import FailureKind, InferenceFailure
from cxr_gateway.inference.load_balancing import Addresses
from support.fake_gateway import FakeService, settings_for
from support.images import png

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
IMAGE = EncodedImage(png(), "image/png", 120, 100)


class Detectors:
    """Three detectors on one port, and the addresses that their name has at the moment."""

    def __init__(self) -> None:
        self.stands = {address: FakeService("detector") for address in ADDRESSES}
        self.named = list(ADDRESSES)
        self.now_s = 0.0

    @property
    def asked(self) -> dict[str, int]:
        return {address: gateway.asked for address, gateway in self.stands.items()}

    async def resolve(self, host: str, _port: int) -> list[str]:
        if host != "detector" or not self.named:
            raise socket.gaierror("no such name")
        return list(self.named)


@asynccontextmanager
async def served(gateway: FakeService, address: str, port: int) -> AsyncIterator[None]:
    config = uvicorn.Config(
        gateway.app(), host=address, port=port, log_config=None, lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def detectors() -> Detectors:
    return Detectors()


@pytest.fixture
async def services(detectors: Detectors, tmp_path: Path) -> AsyncIterator[InferenceClients]:
    port = free_port()
    settings = settings_for(tmp_path).model_copy(update={"detector_url": f"http://detector:{port}"})
    addresses = Addresses(detectors.resolve, lambda: detectors.now_s)
    transport = SpreadingTransport(httpx.AsyncHTTPTransport(trust_env=False), addresses)
    async with AsyncExitStack() as stack:
        for address, gateway in detectors.stands.items():
            await stack.enter_async_context(served(gateway, address, port))
        http = httpx.AsyncClient(transport=transport, trust_env=False)
        yield await stack.enter_async_context(open_clients(settings, http))


async def know_the_labels(services: InferenceClients, detectors: Detectors) -> None:
    """Once round: with its first answer the gateway asks for the labels, a request, too."""
    for _ in range(2):
        await services.detector.detect(IMAGE)
    for gateway in detectors.stands.values():
        gateway.asked = 0


async def test_requests_one_after_another_go_round(
    services: InferenceClients, detectors: Detectors
) -> None:
    await know_the_labels(services, detectors)
    for _ in range(9):
        await services.detector.detect(IMAGE)
    assert detectors.asked == dict.fromkeys(ADDRESSES, 3)


async def test_what_comes_while_one_is_busy_goes_to_the_others(
    services: InferenceClients, detectors: Detectors
) -> None:
    await know_the_labels(services, detectors)
    released = asyncio.Event()

    async def held(request: Request) -> Response:
        await released.wait()
        return await detectors.stands["127.0.0.1"].usual(request)

    detectors.stands["127.0.0.1"].answer = held
    slow = asyncio.create_task(services.detector.detect(IMAGE))
    while not detectors.asked["127.0.0.1"]:
        await asyncio.sleep(0.01)
    for _ in range(6):
        await services.detector.detect(IMAGE)
    released.set()
    await slow
    assert detectors.asked == {"127.0.0.1": 1, "127.0.0.2": 3, "127.0.0.3": 3}


async def test_one_that_is_full_or_still_loading_costs_no_analysis(
    services: InferenceClients, detectors: Detectors
) -> None:
    async def refuse(_request: Request) -> Response:
        return JSONResponse({}, 503)

    detectors.stands["127.0.0.1"].answer = refuse
    for _ in range(4):
        await services.detector.detect(IMAGE)
    # Left alone after its refusal, and asked again once it has rested.
    assert detectors.asked["127.0.0.1"] == 1
    detectors.now_s += 60
    detectors.stands["127.0.0.1"].answer = None
    for _ in range(3):
        await services.detector.detect(IMAGE)
    assert detectors.asked["127.0.0.1"] >= 2


async def test_all_of_them_full_is_told_as_one_that_is(
    services: InferenceClients, detectors: Detectors
) -> None:
    async def refuse(_request: Request) -> Response:
        return JSONResponse({}, 503)

    for gateway in detectors.stands.values():
        gateway.answer = refuse
    with pytest.raises(InferenceFailure) as caught:
        await services.detector.detect(IMAGE)
    assert caught.value.kind is FailureKind.OVERLOADED
    assert detectors.asked == dict.fromkeys(ADDRESSES, 1)


async def test_an_address_where_nobody_listens_costs_no_analysis(
    services: InferenceClients, detectors: Detectors
) -> None:
    detectors.named = ["127.0.0.9", "127.0.0.2"]
    for _ in range(4):
        await services.detector.detect(IMAGE)
    assert detectors.asked == {"127.0.0.1": 0, "127.0.0.2": 4, "127.0.0.3": 0}


async def test_an_added_service_is_found_while_the_gateway_runs(
    services: InferenceClients, detectors: Detectors
) -> None:
    detectors.named = ["127.0.0.1"]
    for _ in range(2):
        await services.detector.detect(IMAGE)
    detectors.named = list(ADDRESSES)
    detectors.now_s += 60
    for _ in range(6):
        await services.detector.detect(IMAGE)
    assert detectors.asked["127.0.0.2"]
    assert detectors.asked["127.0.0.3"]


async def test_a_name_that_nobody_has_is_an_unreachable_service(
    services: InferenceClients, detectors: Detectors
) -> None:
    detectors.named = []
    with pytest.raises(InferenceFailure) as caught:
        await services.detector.detect(IMAGE)
    assert caught.value.kind is FailureKind.UNREACHABLE


async def test_the_services_see_their_own_name(
    services: InferenceClients, detectors: Detectors
) -> None:
    hosts: Counter[str] = Counter()

    async def noted(request: Request) -> Response:
        hosts[request.headers["host"].partition(":")[0]] += 1
        return await detectors.stands["127.0.0.1"].usual(request)

    for gateway in detectors.stands.values():
        gateway.answer = noted
    for _ in range(3):
        await services.detector.detect(IMAGE)
    assert hosts == {"detector": 3}


async def test_the_real_resolver_is_asked_where_none_is_given(tmp_path: Path) -> None:
    gateway, port = FakeService("detector"), free_port()
    settings = settings_for(tmp_path).model_copy(
        update={"detector_url": f"http://localhost:{port}"}
    )
    async with served(gateway, "127.0.0.1", port), open_clients(settings) as services:
        for _ in range(3):
            await services.detector.detect(IMAGE)
    assert gateway.asked == 3
