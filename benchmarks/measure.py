"""The measurement itself: rounds in which each service takes its turn, so drift hits all alike."""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.images import large_dicoms, sample_png, unique_pngs
from benchmarks.load import Run, Target, send
from benchmarks.networks_alone import NetworksAlone, timed
from benchmarks.peers.running import Peer, running
from benchmarks.served import DETECTOR, ROOT
from benchmarks.stack import Stack
from cxr_launcher.settings import LOOPBACK

OURS = "this system"
OURS_DICOM = "this system, DICOM"
ONE_PROCESS = "one process, eager PyTorch"
EARLIER_PROCESS = "one process, eager PyTorch, an earlier detector"
LITSERVE = "LitServe, eager PyTorch"
BENTOML = "BentoML, eager PyTorch"
IN_TURN = "the ONNX files alone, in turn"
SIDE_BY_SIDE = "the ONNX files alone, side by side"
CLIENTS = 8
_BENTOML_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int = 5
    requests: int = 40
    warm_up: int = 10
    memory_requests: int = 5000
    earlier_detector: Path | None = None
    """Published folder, e.g. of an earlier release, that one more peer runs."""


@dataclass(slots=True)
class Samples:
    """What the rounds gave for one service: a value a round, ratios round by round.

    Attributes:
        per_second: with eight clients; empty where these were not sent.
        resident_mb: of all its processes; None where it was not measured.
    """

    p50_ms: list[float] = field(default_factory=list)
    p95_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    resident_mb: float | None = None

    def record(self, alone: Run, together: Run | None = None) -> None:
        """Add a round: what one client got, and what eight did."""
        self.p50_ms.append(alone.p50_ms)
        self.p95_ms.append(alone.p95_ms)
        if together is not None:
            self.per_second.append(together.per_second)


@dataclass(slots=True)
class Measurement:
    """Everything that the report shows.

    Attributes:
        services: with `EARLIER_PROCESS` where the plan names a detector for it.
        memory_mb: further studies, and what the three services hold, their children apart.
    """

    services: dict[str, Samples]
    gateway_adds_ms: float
    memory_mb: list[tuple[int, float]]


def peers(folder: Path, earlier_detector: Path | None = None) -> dict[str, Peer]:
    """The services to compare with, all but one with the networks that are served.

    Args:
        folder: where they may write.
        earlier_detector: of the one with others.
    """

    def one_process(detector: Path) -> Peer:
        return Peer((sys.executable, "-m", "benchmarks.peers.one_process", str(detector)), "file")

    found = {ONE_PROCESS: one_process(DETECTOR)}
    if earlier_detector is not None:
        found[EARLIER_PROCESS] = one_process(earlier_detector)
    # These name the field after their functions' arguments.
    found[LITSERVE] = Peer((sys.executable, "-m", "benchmarks.peers.litserve_peer"), "request")
    found[BENTOML] = Peer(
        (
            *(str(_BENTOML_PYTHON), "-m", "bentoml", "serve"),
            *("benchmarks.peers.bentoml_peer:Models", "--host", LOOPBACK, "--port"),
        ),
        "images",
        "/readyz",
        {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"},
    )
    return found


def measure(plan: Plan) -> Measurement:
    """Run all rounds, then the memory run over this system alone, then its DICOM files."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as everything:
        folder = Path(name)
        # The peers make no images of a study. This system makes them when it is idle, which
        # would be while a peer is measured.
        quiet = {"CXR_GATEWAY_RENDERING_IDLE_S": "86400"}
        stack = everything.enter_context(Stack(folder, quiet))
        ours = Target(OURS, f"{stack.url}/api/v1/studies")
        targets = {OURS: ours}
        families: dict[str, psutil.Process] = {}
        for peer_name, peer in peers(folder, plan.earlier_detector).items():
            started = everything.enter_context(running(peer_name, peer))
            targets[peer_name], families[peer_name] = started
        samples = {one: Samples() for one in (OURS, OURS_DICOM, *families, IN_TURN, SIDE_BY_SIDE)}
        images = unique_pngs(sample_png())
        added_ms = _rounds(plan, targets, samples, images)
        for peer_name, family in families.items():
            samples[peer_name].resident_mb = _resident_mb([family])
        samples[OURS].resident_mb = _resident_mb(stack.processes())
        memory = _memory(plan, stack, ours, images)
        # Last, for what they leave in memory is no part of the series.
        _dicoms(plan, ours, samples[OURS_DICOM])
        samples[OURS_DICOM].resident_mb = _resident_mb(stack.processes())
        return Measurement(samples, float(np.median(added_ms)), memory)


def _rounds(
    plan: Plan, targets: dict[str, Target], samples: dict[str, Samples], images: Iterator[bytes]
) -> list[float]:
    networks = NetworksAlone()
    ways = {IN_TURN: networks.in_turn, SIDE_BY_SIDE: networks.side_by_side}
    for target in targets.values():
        send(target, images, requests=plan.warm_up, clients=2)
    for way in ways.values():
        timed(way, plan.warm_up)
    added_ms: list[float] = []
    for _ in tqdm(range(plan.rounds), desc="rounds"):
        for name, target in targets.items():
            alone = send(target, images, requests=plan.requests, clients=1)
            together = send(target, images, requests=plan.requests, clients=CLIENTS)
            samples[name].record(alone, together)
            if name == OURS:
                added_ms.extend(_gateway_adds_ms(alone))
        for name, way in ways.items():
            samples[name].record(timed(way, plan.requests))
    return added_ms


def _gateway_adds_ms(alone: Run) -> list[float]:
    """What each study took beyond the slower inference service; of one client, in its order."""
    timings = (response["timings_ms"] for response in alone.responses)
    slower = [max(times["classifier"], times["detector"]) for times in timings]
    return [float(value) for value in alone.latencies_ms - np.array(slower)]


def _dicoms(plan: Plan, target: Target, samples: Samples) -> None:
    files = large_dicoms()
    send(target, files, requests=plan.warm_up, clients=1)
    for _ in tqdm(range(plan.rounds), desc="DICOM"):
        samples.record(send(target, files, requests=plan.requests, clients=1))


def _resident_mb(services: Sequence[psutil.Process]) -> float:
    """Of these processes and their children."""
    members = [one for service in services for one in (service, *service.children(recursive=True))]
    return sum(member.memory_info().rss for member in members) / 2**20


def _memory(
    plan: Plan, stack: Stack, target: Target, images: Iterator[bytes]
) -> list[tuple[int, float]]:
    series = [(0, stack.resident_bytes() / 2**20)]
    step = max(1, plan.memory_requests // 20)
    for done in tqdm(range(step, plan.memory_requests + 1, step), desc="memory"):
        send(target, itertools.islice(images, step), requests=step, clients=CLIENTS)
        series.append((done, stack.resident_bytes() / 2**20))
    return series
