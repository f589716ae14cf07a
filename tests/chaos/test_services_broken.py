"""Inference services that are killed, stopped, slow, or answer garbage, while clients upload."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from cxr_classifier.settings import ClassifierSettings
from cxr_detector.settings import DetectorSettings
from support.chaos_scene import SceneMaker
from support.fake_gateway import Answer
from support.inference_process import running
from support.live_gateway import FakeServices, Gateway
from support.toxic_proxy import Toxins, toxic_proxy
from support.uploading import uploading
from support.waiting import eventually, free_port

MODELS: dict[str, Path] = {
    "classifier": ClassifierSettings.model_fields["model_dir"].default,
    "detector": DetectorSettings.model_fields["model_dir"].default,
}
CLIENTS = 3


@dataclass
class RealServices:
    """Both services as processes with published models; each may be killed and started again."""

    folder: Path
    ports: dict[str, int] = field(default_factory=lambda: {r: free_port() for r in MODELS})
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, role: str) -> None:
        """Start a service on its port and return when it is ready."""
        log = self.folder / f"{role}.log"
        started = running(role, MODELS[role], log, port=self.ports[role])
        self.processes[role], _ = self._stack.enter_context(started)

    def signal(self, role: str, number: int) -> None:
        """Send a signal."""
        self.processes[role].send_signal(number)

    def close(self) -> None:
        """Kill both."""
        for process in self.processes.values():
            process.kill()
        self._stack.close()


@pytest.fixture
def real_services(tmp_path: Path) -> Iterator[RealServices]:
    services = RealServices(tmp_path)
    try:
        for role in MODELS:
            services.start(role)
        yield services
    finally:
        services.close()


def in_flight(gateway: Gateway) -> int:
    """Requests in the gateway beside the one that asks."""
    lines = gateway.client.get("/metrics").text.splitlines()
    [value] = [x.split()[1] for x in lines if x.startswith("cxr_http_requests_in_flight ")]
    return int(float(value)) - 1


def hold_all(gateway: Gateway, services: RealServices, *roles: str) -> None:
    """Stop services and return when every client waits for an answer of theirs."""
    for role in roles:
        services.signal(role, signal.SIGSTOP)
    eventually(lambda: in_flight(gateway) == CLIENTS, "the clients do not wait for a service")


@pytest.mark.parametrize(
    "roles", [("classifier",), ("detector",), ("classifier", "detector")], ids="+".join
)
def test_services_killed_in_the_middle_of_an_analysis_cost_that_analysis_and_nothing_else(
    roles: tuple[str, ...], real_services: RealServices, scene_of: SceneMaker
) -> None:
    scene = scene_of(real_services.ports, CXR_GATEWAY_CLASSIFIER_TIMEOUT_S=10)
    gateway = scene.gateway(CXR_GATEWAY_DETECTOR_TIMEOUT_S=10)
    with uploading(scene.url, CLIENTS) as uploaders:
        uploaders.wait_for(kept=3)
        hold_all(gateway, real_services, *roles)
        for role in roles:
            real_services.signal(role, signal.SIGKILL)
            real_services.processes[role].wait()
        fault_ended = time.monotonic()
        for role in roles:
            real_services.start(role)
        uploaders.wait_for(kept=6)
    gateway.kill()
    second = scene.gateway()
    scene.end(f"{' and '.join(roles)} killed in mid-request", second, uploaders, fault_ended)


@pytest.mark.parametrize("roles", [("detector",), ("classifier", "detector")], ids="+".join)
def test_services_that_stand_still_hold_nobody_up_beyond_their_deadline(
    roles: tuple[str, ...], real_services: RealServices, scene_of: SceneMaker
) -> None:
    scene = scene_of(real_services.ports)
    gateway = scene.gateway()
    with uploading(scene.url, CLIENTS) as uploaders:
        uploaders.wait_for(kept=3)
        answered = len(uploaders.ledger.attempts)
        hold_all(gateway, real_services, *roles)
        # Every client has had the answer of a gateway that waited in vain, and begun again.
        eventually(
            lambda: len(uploaders.ledger.attempts) >= answered + 2 * CLIENTS, "a client hangs"
        )
        for role in roles:
            real_services.signal(role, signal.SIGCONT)
        fault_ended = time.monotonic()
        uploaders.wait_for(kept=6)
    gateway.kill()
    scene.end(f"{' and '.join(roles)} stopped", scene.gateway(), uploaders, fault_ended)


def always(response: Callable[[], Response]) -> Answer:
    async def answer(_request: Request) -> Response:
        return response()

    return answer


async def drip() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.05)


GARBAGE: dict[str, Answer] = {
    "JSON of another kind": always(lambda: JSONResponse({"findings": "all", "boxes": 7})),
    "JSON cut in the middle": always(lambda: Response(b'{"model": {"name": "x', 200)),
    "a page of HTML": always(lambda: HTMLResponse("<h1>It works!</h1>")),
    "random bytes": always(lambda: Response(bytes(range(256)) * 20, 200)),
    "an empty 200": always(lambda: Response(b"", 200)),
    "16 MB": always(lambda: Response(b"[" * 16_000_000, 200)),
    "a drip that never ends": always(lambda: StreamingResponse(drip())),
    "a compressed answer": always(
        lambda: Response(b"\x1f\x8b", 200, headers={"Content-Encoding": "gzip"})
    ),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_of_both_services_is_never_part_of_a_study(
    kind: str, services: FakeServices, scene_of: SceneMaker
) -> None:
    scene = scene_of(services.ports)
    gateway = scene.gateway()
    with uploading(scene.url, CLIENTS) as uploaders:
        uploaders.wait_for(kept=3)
        services.classifier.answer = GARBAGE[kind]
        services.detector.answer = GARBAGE[kind]
        before = len(uploaders.ledger.attempts)
        eventually(lambda: len(uploaders.ledger.attempts) >= before + 2 * CLIENTS, "a client hangs")
        services.classifier.answer = services.detector.answer = None
        fault_ended = time.monotonic()
        uploaders.wait_for(kept=6)
    gateway.kill()
    scene.end(f"services answer {kind}", scene.gateway(), uploaders, fault_ended)


def slow(toxins: Toxins) -> None:
    toxins.latency_s = 0.3


def too_slow(toxins: Toxins) -> None:
    toxins.latency_s = 5.0


def thin(toxins: Toxins) -> None:
    toxins.bytes_per_s = 500.0


def cut(toxins: Toxins) -> None:
    toxins.cut_after_bytes = 300


@contextmanager
def proxied(services: FakeServices) -> Iterator[tuple[dict[str, int], list[Toxins]]]:
    """The services' ports behind proxies, and what is done to these."""
    with ExitStack() as stack:
        proxies = {
            role: stack.enter_context(toxic_proxy(port)) for role, port in services.ports.items()
        }
        ports = {role: proxy.port for role, proxy in proxies.items()}
        yield ports, [proxy.toxins for proxy in proxies.values()]


@pytest.mark.parametrize(
    ("name", "poison"),
    [
        ("0.3 s slower, within the deadline", slow),
        ("5 s slower, beyond the deadline", too_slow),
        ("500 bytes a second", thin),
        ("cut after 300 bytes", cut),
    ],
)
def test_a_bad_line_to_the_services_delays_or_costs_an_analysis_and_nothing_else(
    name: str, poison: Callable[[Toxins], None], services: FakeServices, scene_of: SceneMaker
) -> None:
    with proxied(services) as (ports, toxins):
        scene = scene_of(ports)
        gateway = scene.gateway()
        with uploading(scene.url, CLIENTS) as uploaders:
            uploaders.wait_for(kept=3)
            for each in toxins:
                poison(each)
            before = len(uploaders.ledger.attempts)
            eventually(lambda: len(uploaders.ledger.attempts) >= before + 2 * CLIENTS, "it hangs")
            for each in toxins:
                each.heal()
            fault_ended = time.monotonic()
            uploaders.wait_for(kept=6)
        gateway.kill()
        scene.end(f"line to the services: {name}", scene.gateway(), uploaders, fault_ended)


def test_the_proxy_itself_passes_everything_on_where_nothing_is_done_to_it(
    services: FakeServices,
) -> None:
    with proxied(services) as (ports, _):
        for role, port in ports.items():
            answer = httpx.get(f"http://127.0.0.1:{port}/info", trust_env=False)
            assert answer.json()["role"] == role
