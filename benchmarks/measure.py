"""The measurement itself: rounds in which each service takes its turn, so drift hits all alike."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.load import Run, Target, send
from benchmarks.peers.running import running
from benchmarks.pictures import sample_png, unique_pngs
from benchmarks.stack import Stack

OURS = "this system"
NAIVE = "one process, eager PyTorch"
LITSERVE = "LitServe, eager PyTorch"
# Module and file field of each; LitServe names the field after its function's argument.
PEERS = {
    NAIVE: ("benchmarks.peers.naive", "file"),
    LITSERVE: ("benchmarks.peers.litserve_peer", "request"),
}
CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int = 5
    requests: int = 40
    warm_up: int = 10
    memory_requests: int = 2000


@dataclass(slots=True)
class Samples:
    """What the rounds gave for one service: a value a round, ratios round by round."""

    p50_ms: list[float] = field(default_factory=list)
    p95_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    resident_mb: float = 0.0


@dataclass(slots=True)
class Measurement:
    """Everything that the report shows."""

    services: dict[str, Samples]
    gateway_adds_ms: float
    memory_mb: list[tuple[int, float]]


def measure(plan: Plan) -> Measurement:
    """Run all rounds, then the memory run over this system alone."""
    png = sample_png()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as everything:
        # The peers make no pictures of a study. This system makes them when it is idle, which
        # would be while a peer is measured.
        quiet = {"CXR_GATEWAY_RENDERING_IDLE_S": "86400"}
        stack = everything.enter_context(Stack(Path(folder), quiet))
        targets = {OURS: Target(OURS, f"{stack.url}/api/v1/studies")}
        families: dict[str, psutil.Process] = {}
        for name, (module, field_name) in PEERS.items():
            peer = running(name, module, field_name)
            targets[name], families[name] = everything.enter_context(peer)
        samples = {name: Samples() for name in targets}
        pictures = unique_pngs(png)
        added_ms = _rounds(plan, targets, samples, pictures)
        for name, family in families.items():
            samples[name].resident_mb = _resident_mb(family)
        samples[OURS].resident_mb = stack.resident_bytes() / 2**20
        memory = _memory(plan, stack, targets[OURS], pictures)
        return Measurement(samples, float(np.median(added_ms)), memory)


def _rounds(
    plan: Plan, targets: dict[str, Target], samples: dict[str, Samples], pictures: Iterator[bytes]
) -> list[float]:
    for target in targets.values():
        send(target, pictures, requests=plan.warm_up, clients=2)
    added_ms: list[float] = []
    for _ in tqdm(range(plan.rounds), desc="rounds"):
        for name, target in targets.items():
            alone = send(target, pictures, requests=plan.requests, clients=1)
            together = send(target, pictures, requests=plan.requests, clients=CLIENTS)
            _record(samples[name], alone, together)
            if name == OURS:
                added_ms.extend(_gateway_adds_ms(alone))
    return added_ms


def _record(samples: Samples, alone: Run, together: Run) -> None:
    samples.p50_ms.append(alone.p50_ms)
    samples.p95_ms.append(alone.p95_ms)
    samples.per_second.append(together.per_second)


def _gateway_adds_ms(alone: Run) -> list[float]:
    """What each study took its client beyond the slower reader; one client, so in its order."""
    timings = (answer["timings_ms"] for answer in alone.answers)
    slower = [max(times["classifier"], times["detector"]) for times in timings]
    return [float(value) for value in alone.latencies_ms - np.array(slower)]


def _resident_mb(family: psutil.Process) -> float:
    members = [family, *family.children(recursive=True)]
    return sum(member.memory_info().rss for member in members) / 2**20


def _memory(
    plan: Plan, stack: Stack, target: Target, pictures: Iterator[bytes]
) -> list[tuple[int, float]]:
    series = [(0, stack.resident_bytes() / 2**20)]
    step = max(1, plan.memory_requests // 20)
    for done in tqdm(range(step, plan.memory_requests + 1, step), desc="memory"):
        send(target, itertools.islice(pictures, step), requests=step, clients=CLIENTS)
        series.append((done, stack.resident_bytes() / 2**20))
    return series
