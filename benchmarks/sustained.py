"""`python -m benchmarks.sustained`: the running system under load for a long time, and over it.

First the capacity is found, or given: what eight clients get that wait for their responses. Then
requests arrive at the rated load, a part of that, whether or not the ones before were answered, as
requests do. Then the same beside a hostile client (`hostile.py`). Then they arrive at twice the
capacity. The gateway is closed, as in a hospital: several systems send with keys of one department,
each from its own address, the hostile one with a key of another. All of it stays on this machine
and ends by itself.
"""

import argparse
import asyncio
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import httpx
import psutil

from benchmarks.load_run import Outcome, Plan, RequestResult
from benchmarks.requests_mix import Mix, Upload
from benchmarks.stack import ROOT, Stack
from benchmarks.sustained_report import write

STUDIES = "/api/v1/studies"
CLIENTS = 8
_TIMEOUT_S = 60.0
# More are not sent at once: whoever loads a system must not fall over before it does.
_MOST_OUTSTANDING = 200
_SAMPLED_EVERY_S = 1.0
_MB_A_REQUEST = 0.4
_SYSTEMS = 4
_CLOSED = {"CXR_GATEWAY_ACCESS": "closed", "CXR_GATEWAY_TRUSTED_PROXIES": "1"}


class Load:
    """The requests of a run against one gateway."""

    def __init__(self, http: httpx.AsyncClient, keys: Sequence[str], outcome: Outcome) -> None:
        self._http = http
        self._systems = itertools.cycle(
            {"Authorization": f"Bearer {key}", "X-Forwarded-For": f"10.0.0.{number}"}
            for number, key in enumerate(keys, 1)
        )
        self._outcome = outcome
        self._mix = Mix()
        self._began = time.perf_counter()

    def now_s(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self._began

    async def closed(self, phase: str, seconds: float) -> float:
        """Clients that wait for their responses; complete results a second."""
        start = self.now_s()

        async def client() -> None:
            while self.now_s() - start < seconds:
                await self._one(phase)

        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(client())
        took = self.now_s() - start
        self._outcome.phases[phase] = (start, start + took)
        good = sum(result.good for result in self._outcome.results if result.phase == phase)
        return good / took

    async def open(self, phase: str, seconds: float, per_second: float) -> None:
        """Requests that arrive at a rate, whatever became of those before."""
        start = self.now_s()
        outstanding: set[asyncio.Task[None]] = set()
        for number in range(max(1, round(seconds * per_second))):
            await asyncio.sleep(max(0.0, start + number / per_second - self.now_s()))
            if len(outstanding) >= _MOST_OUTSTANDING:
                self._outcome.unsent += 1
                continue
            task = asyncio.create_task(self._one(phase))
            outstanding.add(task)
            task.add_done_callback(outstanding.discard)
        await asyncio.gather(*outstanding)
        self._outcome.phases[phase] = (start, self.now_s())

    async def _one(self, phase: str) -> None:
        kind, what = self._mix.next()
        sent = self.now_s()
        try:
            response = await self._asked(what)
        except httpx.TransportError as error:
            took_ms = (self.now_s() - sent) * 1000
            failure = f"{type(error).__name__} {error}".strip()
            result = RequestResult(phase, kind, sent, took_ms, 0, False, failure=failure)
            self._outcome.results.append(result)
            return
        took_ms = (self.now_s() - sent) * 1000
        study = None
        if isinstance(what, Upload) and response.is_success:
            body = response.json()
            study = body["status"]
            self._mix.accepted(what, body["id"])
            self._outcome.accepted[what.sha256] = body["id"]
        status, retry_after = response.status_code, "retry-after" in response.headers
        result = RequestResult(phase, kind, sent, took_ms, status, retry_after, study)
        self._outcome.results.append(result)

    async def _asked(self, what: Upload | str | None) -> httpx.Response:
        headers = next(self._systems)
        if isinstance(what, Upload):
            files = {"file": ("radiograph", what.content)}
            return await self._http.post(STUDIES, files=files, headers=headers)
        path = STUDIES if what is None else f"{STUDIES}/{what}/overlay.png"
        return await self._http.get(path, headers=headers)

    async def check(self) -> None:
        """Read back every study that was accepted, and the digest of its file."""
        for digest, study_id in self._outcome.accepted.items():
            # As fast as one may ask: its answers are no measure.
            original = await self._original(study_id)
            if sha256(original.content).hexdigest() != digest:
                self._outcome.lost.append(study_id)

    async def _original(self, study_id: str) -> httpx.Response:
        while True:
            path = f"{STUDIES}/{study_id}/original"
            original = await self._http.get(path, headers=next(self._systems))
            if original.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return original
            await asyncio.sleep(float(original.headers["retry-after"]))


async def _sampled(stack: Stack, load: Load, outcome: Outcome) -> None:
    while True:
        for name in stack.services:
            process = psutil.Process(stack.pid(name))
            if process.status() == psutil.STATUS_ZOMBIE:
                raise RuntimeError(f"the {name} ended:\n{stack.log(name)[-2000:]}")
            resident = process.memory_info().rss / 2**20
            outcome.memory.append((load.now_s(), name, resident))
        await asyncio.sleep(_SAMPLED_EVERY_S)


async def _hostile(url: str, key: str, seconds: float) -> dict[str, int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.hostile", url, str(seconds)),
        cwd=ROOT,
        env={**os.environ, "CXR_HOSTILE_KEY": key},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the hostile client ended with {process.returncode}")
    answers: dict[str, int] = json.loads(said)
    return answers


async def _run(plan: Plan, stack: Stack) -> Outcome:
    outcome = Outcome(plan)
    keys = [stack.key("integrator", "radiology") for _ in range(_SYSTEMS)]
    hostile_key = stack.key("integrator", "elsewhere")
    limits = httpx.Limits(max_connections=_MOST_OUTSTANDING, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(
        base_url=stack.url, timeout=_TIMEOUT_S, trust_env=False, limits=limits
    ) as http:
        load = Load(http, keys, outcome)
        sampling = asyncio.create_task(_sampled(stack, load, outcome))
        # The first requests warm everything up; they are no measure of what the system can do.
        await load.closed("warm-up", plan.calibration_s / 3)
        outcome.capacity = plan.capacity or await load.closed("calibration", plan.calibration_s)
        await load.open("rated", plan.rated_s, plan.share * outcome.capacity)
        if plan.hostile_s:
            hostile = asyncio.create_task(_hostile(stack.url, hostile_key, plan.hostile_s))
            await load.open("hostile", plan.hostile_s, plan.share * outcome.capacity)
            outcome.hostile = await hostile
        await load.open("overload", plan.overload_s, plan.overload * outcome.capacity)
        if sampling.done():
            sampling.result()
        sampling.cancel()
        await load.check()
    return outcome


def run(plan: Plan, environment: Mapping[str, str] | None = None) -> Outcome:
    """Start the three services over an empty archive, load them, and say what happened."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = plan.rated_s + plan.hostile_s + plan.overload_s
        needed = seconds * 40 * _MB_A_REQUEST * 1e6
        if shutil.disk_usage(folder).free < needed:
            raise RuntimeError(f"{needed / 1e9:.0f} GB are needed for the uploads in {folder}")
        with Stack(Path(folder), {**_CLOSED, **(environment or {})}) as stack:
            return asyncio.run(_run(plan, stack))


def main(arguments: list[str] | None = None) -> int:
    """Run, write the report, print it; 1 if the system did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=Plan().rated_s / 60)
    parser.add_argument("--hostile-minutes", type=float, default=Plan().hostile_s / 60)
    parser.add_argument("--overload-minutes", type=float, default=Plan().overload_s / 60)
    parser.add_argument("--capacity", type=float, help="requests a second; found if not given")
    parser.add_argument("--out", type=Path, default=Path("docs/results/load"))
    options = parser.parse_args(arguments)
    plan = Plan(
        options.minutes * 60,
        options.hostile_minutes * 60,
        options.overload_minutes * 60,
        capacity=options.capacity,
    )
    text, holds = write(run(plan), options.out)
    print(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
