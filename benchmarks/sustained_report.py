"""Turns a load run into `docs/results/load/`: two CSVs, a table, a plot, and whether it held."""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.load_run import Outcome, RequestResult

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend is chosen first

# Of its mean may a service's memory grow from the end of the first quarter, by which everything
# has been touched once, to the end of the rated load.
STEADY = 0.05
_WARM = 0.25
_MINUTE_S = 60.0
# What is called slow by the alert CxrStudiesSlow: one study in twenty takes longer.
SLOW_MS = 5000.0
# The system has no more room, or this client has no more of it.
REFUSALS = (503, 429)
_PHASES = ("rated", "hostile", "overload")
_UPLOADS = frozenset({"png", "jpeg", "dicom", "repeated"})


def write(outcome: Outcome, folder: Path) -> tuple[str, bool]:
    """Write all files; the README's text, and whether every criterion was met."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_minutes(outcome, folder / "minutes.csv")
    _write_memory(outcome, folder / "memory.csv")
    _plot(outcome, folder / "load.png")
    found = list(criteria(outcome))
    text = _text(outcome, found)
    (folder / "README.md").write_text(text)
    return text, all(met for _, _, met in found)


def growth(outcome: Outcome, service: str) -> tuple[float, float, float]:
    """A service's memory under the rated load: MB on average, MB an hour, and the share it grew.

    The slope is that of the least squares line behind the first quarter.
    """
    start, end = outcome.phases["rated"]
    warm = start + _WARM * (end - start)
    points = [(at, mb) for at, name, mb in outcome.memory if name == service and warm <= at <= end]
    seconds, resident = np.array(points).T if len(points) > 1 else np.zeros((2, 2))
    slope = float(np.polyfit(seconds, resident, 1)[0]) if np.ptp(seconds) else 0.0
    mean = float(resident.mean())
    return mean, slope * 3600, slope * (end - warm) / mean if mean else 0.0


def criteria(outcome: Outcome) -> Iterator[tuple[str, str, bool]]:
    """What has to hold, what was seen, and whether it did."""
    rated, over = (_of(outcome, phase) for phase in ("rated", "overload"))
    bad = [result for result in rated if not result.good]
    seen = f"{len(bad)} of {len(rated)}" + (f": {_statuses(bad)}" if bad else "")
    yield "no request at the rated load fails or is analysed in part", seen, not bad
    for name in dict.fromkeys(name for _, name, _ in outcome.memory):
        mean, per_hour, grown = growth(outcome, name)
        seen = f"{mean:.0f} MB, {per_hour:+.1f} MB an hour, {grown:+.1%} over the time"
        yield f"the {name}'s memory grows by less than {STEADY:.0%}", seen, grown < STEADY
    if beside := _of(outcome, "hostile"):
        yield from _beside_a_hostile_client(outcome, beside)
    refused = [result for result in over if result.status in REFUSALS and result.retry_after]
    others = [a for a in over if a.status not in (200, 201) and a not in refused]
    seen = f"{len(refused)} of {len(over)} refused; otherwise {len(others)}"
    if others:
        seen += f": {_statuses(others)}"
    yield "beyond the capacity some are refused", seen, bool(refused)
    yield "and with nothing but 503 or 429, and Retry-After", seen, not others
    kept = f"{len(outcome.accepted)} uploads accepted, {len(outcome.lost)} not as they were sent"
    yield "every upload that was accepted is in the archive, to the byte", kept, not outcome.lost


def _beside_a_hostile_client(
    outcome: Outcome, results: list[RequestResult]
) -> Iterator[tuple[str, str, bool]]:
    bad = [result for result in results if not result.good]
    seen = f"{len(bad)} of {len(results)}" + (f": {_statuses(bad)}" if bad else "")
    yield "beside a hostile client none of the others fails or is analysed in part", seen, not bad
    [p95] = _percentiles(_split(results)[0], 95)
    seen = f"{p95:.0f} ms"
    yield f"and 95% of their uploads take less than {SLOW_MS:.0f} ms", seen, p95 < SLOW_MS
    refused = sum(count for what, count in outcome.hostile.items() if not what.endswith(": 201"))
    sent = sum(outcome.hostile.values())
    yield "while it is refused what is beyond its share", f"{refused} of {sent}", refused > sent / 2


def _text(outcome: Outcome, found: Sequence[tuple[str, str, bool]]) -> str:
    plan = outcome.plan
    rated = plan.share * outcome.capacity
    lines = [
        "# Under load",
        "",
        f"Made by `make load MINUTES={plan.rated_s / 60:g}`, the clients on the same machine as",
        "the services. Of twenty requests nine are new files (five PNG and two JPEG of 1024 x 1024",
        "pixels, two DICOM of 512 x 512 and 12 bits), five are files that were sent before, three",
        "ask for the list and three for an overlay. The capacity is what eight clients get that",
        f"wait for their results: {outcome.capacity:.1f} requests a second. Rated are",
        f"{plan.share:.0%} of it, {rated:.1f} a second, arriving evenly whether or not the ones",
        f"before are answered, for {plan.rated_s / 60:g} minutes; then {plan.overload:g} times the",
        f"capacity for {plan.overload_s / 60:g} minutes.",
        "",
        *_hostile_text(outcome),
        "| what has to hold | seen | held |",
        "|---|---|---|",
        *(f"| {what} | {seen} | {'yes' if met else '**no**'} |" for what, seen, met in found),
        "",
        f"Arrivals that were not sent because as many were outstanding as are sent at once: "
        f"{outcome.unsent}.",
        "",
        "| phase | requests | a second | uploads, ms: p50, p95, p99 | reads, ms: p50, p95 |",
        "|---|--:|--:|---|---|",
        *(_phase_row(outcome, phase) for phase in _PHASES if phase in outcome.phases),
        "",
        "`minutes.csv` holds counts and percentiles by minute, `memory.csv` the memory of each",
        "process by second.",
        "",
        "![latency and memory over time](load.png)",
    ]
    return "\n".join(lines) + "\n"


def _hostile_text(outcome: Outcome) -> list[str]:
    if not outcome.hostile:
        return []
    return [
        "The gateway is closed: four systems send with keys of one department. Between the rated",
        f"load and the overload comes the rated load again for {outcome.plan.hostile_s / 60:g}",
        "minutes, beside a hostile client (`benchmarks/hostile.py`) with another department's key:",
        "32 uploads that drip, 40 files a second (three of four are radiographs, the others huge,",
        "cut or no image) and 20 guessed keys a second, never waiting as it is told. It was",
        "answered:",
        "",
        "| its request | answers |",
        "|---|---|",
        *(f"| {kind} | {counts} |" for kind, counts in _hostile_answers(outcome)),
        "",
    ]


def _hostile_answers(outcome: Outcome) -> Iterator[tuple[str, str]]:
    split = [(*what.split(": ", 1), count) for what, count in outcome.hostile.items()]
    for kind, answers in itertools.groupby(sorted(split), lambda one: one[0]):
        yield kind, ", ".join(f"{count} x {what}" for _, what, count in answers)


def _phase_row(outcome: Outcome, phase: str) -> str:
    results = _of(outcome, phase)
    start, end = outcome.phases[phase]
    good = [result for result in results if result.good]
    uploads, reads = _split(good)
    shown = (_percentiles(uploads, 50, 95, 99), _percentiles(reads, 50, 95))
    cells = (", ".join(f"{value:.0f}" for value in values) for values in shown)
    rate = len(results) / (end - start)
    return f"| {phase} | {len(results)} | {rate:.1f} | {' | '.join(cells)} |"


def _write_minutes(outcome: Outcome, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        head = ["phase", "minute", "requests", "good", "refused", "other"]
        writer.writerow([*head, "upload_p50_ms", "upload_p95_ms", "upload_p99_ms", "read_p95_ms"])
        for (phase, minute), results in _by_minute(outcome):
            good = [result for result in results if result.good]
            refused = sum(result.status in REFUSALS for result in results)
            uploads, reads = _split(good)
            figures = [*_percentiles(uploads, 50, 95, 99), *_percentiles(reads, 95)]
            counts = [len(results), len(good), refused, len(results) - len(good) - refused]
            writer.writerow([phase, minute, *counts, *(f"{value:.1f}" for value in figures)])


def _write_memory(outcome: Outcome, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["second", "service", "resident_mb"])
        writer.writerows((f"{at:.0f}", name, f"{mb:.1f}") for at, name, mb in outcome.memory)


def _by_minute(outcome: Outcome) -> Iterator[tuple[tuple[str, int], list[RequestResult]]]:
    def minute(result: RequestResult) -> tuple[str, int]:
        return result.phase, int(result.sent_s // _MINUTE_S)

    ordered = sorted(outcome.results, key=lambda result: result.sent_s)
    for key, results in itertools.groupby(ordered, minute):
        yield key, list(results)


def _of(outcome: Outcome, phase: str) -> list[RequestResult]:
    return [result for result in outcome.results if result.phase == phase]


def _split(results: Sequence[RequestResult]) -> tuple[list[RequestResult], list[RequestResult]]:
    uploads = [result for result in results if result.kind in _UPLOADS]
    return uploads, [result for result in results if result.kind not in _UPLOADS]


def _percentiles(results: Sequence[RequestResult], *which: int) -> list[float]:
    took = [result.took_ms for result in results]
    return [float(value) for value in np.percentile(took, which)] if took else [0.0] * len(which)


def _statuses(results: Sequence[RequestResult]) -> str:
    counted = Counter(result.study or result.status or result.failure for result in results)
    return ", ".join(f"{count} x {what}" for what, count in counted.most_common())


def _plot(outcome: Outcome, path: Path) -> None:
    figure, (latency, memory) = plt.subplots(1, 2, figsize=(12, 3.8), layout="constrained")
    minutes = [(key[1], *_percentiles(_split(a)[0], 50, 95)) for key, a in _by_minute(outcome)]
    columns = np.array(minutes).T
    for values, name in zip(columns[1:], ("p50", "p95"), strict=True):
        latency.plot(columns[0], values, ".-", label=name)
    latency.set(xlabel="minute", ylabel="upload, ms", yscale="log", title="Latency of uploads")
    for name in dict.fromkeys(name for _, name, _ in outcome.memory):
        points = np.array([(at, mb) for at, service, mb in outcome.memory if service == name])
        memory.plot(points[:, 0] / _MINUTE_S, points[:, 1], label=name)
    memory.set(xlabel="minute", ylabel="resident, MB", ylim=(0, None), title="Memory")
    start = outcome.phases["overload"][0] / _MINUTE_S
    for axes in (latency, memory):
        axes.axvline(start, color="grey", linestyle=":", label="overload begins")
        if "hostile" in outcome.phases:
            begun = outcome.phases["hostile"][0] / _MINUTE_S
            axes.axvline(begun, color="grey", linestyle="--", label="hostile client begins")
        axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
