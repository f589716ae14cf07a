"""`python -m benchmarks.sustained`: the running system under load for a long time, and over it.

First the capacity is found, or given: what eight clients get that wait for their responses. Then
requests arrive at the rated load, a part of that, whether or not the ones before were answered, as
requests do. Then they arrive at twice the capacity. All of it stays on this machine and ends by
itself.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import httpx
import psutil

from benchmarks.load_run import Outcome, Plan, RequestResult
from benchmarks.requests_mix import Mix, Upload
from benchmarks.stack import Stack
from benchmarks.sustained_report import write

STUDIES = "/api/v1/studies"
CLIENTS = 8
_TIMEOUT_S = 60.0
# More are not sent at once: whoever loads a system must not fall over before it does.
_MOST_OUTSTANDING = 200
_SAMPLED_EVERY_S = 1.0
_MB_A_REQUEST = 0.4


class Load:
    """The requests of a run against one gateway."""

    def __init__(self, http: httpx.AsyncClient, outcome: Outcome) -> None:
        self._http = http
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
        if isinstance(what, Upload):
            return await self._http.post(STUDIES, files={"file": ("radiograph", what.content)})
        if what is None:
            return await self._http.get(STUDIES)
        return await self._http.get(f"{STUDIES}/{what}/overlay.png")

    async def check(self) -> None:
        """Read back every study that was accepted, and the digest of its file."""
        for digest, study_id in self._outcome.accepted.items():
            original = await self._http.get(f"{STUDIES}/{study_id}/original")
            if sha256(original.content).hexdigest() != digest:
                self._outcome.lost.append(study_id)


async def _sampled(stack: Stack, load: Load, outcome: Outcome) -> None:
    while True:
        for name in stack.services:
            resident = psutil.Process(stack.pid(name)).memory_info().rss / 2**20
            outcome.memory.append((load.now_s(), name, resident))
        await asyncio.sleep(_SAMPLED_EVERY_S)


async def _run(plan: Plan, stack: Stack) -> Outcome:
    outcome = Outcome(plan)
    limits = httpx.Limits(max_connections=_MOST_OUTSTANDING, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(
        base_url=stack.url, timeout=_TIMEOUT_S, trust_env=False, limits=limits
    ) as http:
        load = Load(http, outcome)
        sampling = asyncio.create_task(_sampled(stack, load, outcome))
        # The first requests warm everything up; they are no measure of what the system can do.
        await load.closed("warm-up", plan.calibration_s / 3)
        outcome.capacity = plan.capacity or await load.closed("calibration", plan.calibration_s)
        await load.open("rated", plan.rated_s, plan.share * outcome.capacity)
        await load.open("overload", plan.overload_s, plan.overload * outcome.capacity)
        sampling.cancel()
        await load.check()
    return outcome


def run(plan: Plan, environment: Mapping[str, str] | None = None) -> Outcome:
    """Start the three services over an empty archive, load them, and say what happened."""
    with tempfile.TemporaryDirectory() as folder:
        needed = (plan.rated_s + plan.overload_s) * 40 * _MB_A_REQUEST * 1e6
        if shutil.disk_usage(folder).free < needed:
            raise RuntimeError(f"{needed / 1e9:.0f} GB are needed for the uploads in {folder}")
        with Stack(Path(folder), environment) as stack:
            return asyncio.run(_run(plan, stack))


def main(arguments: list[str] | None = None) -> int:
    """Run, write the report, print it; 1 if the system did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=Plan().rated_s / 60)
    parser.add_argument("--overload-minutes", type=float, default=Plan().overload_s / 60)
    parser.add_argument("--capacity", type=float, help="requests a second; found if not given")
    parser.add_argument("--out", type=Path, default=Path("docs/results/load"))
    options = parser.parse_args(arguments)
    plan = Plan(options.minutes * 60, options.overload_minutes * 60, capacity=options.capacity)
    text, holds = write(run(plan), options.out)
    print(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
