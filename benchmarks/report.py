"""Turns a measurement into `docs/results/speed/`: CSV, a table, a plot."""

import csv
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.measure import LITSERVE, ONE_PROCESS, OURS, Measurement, Samples

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend is chosen first

COMMAND = "make bench"


def write(measurement: Measurement, folder: Path) -> str:
    """Write all files and return the table as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_rounds(measurement, folder / "rounds.csv")
    _write_memory(measurement, folder / "memory.csv")
    table = _table(measurement)
    (folder / "README.md").write_text(table)
    _plot(measurement, folder / "speed.png")
    return table


def ratio(
    measurement: Measurement, values: Callable[[Samples], list[float]], peer: str
) -> tuple[float, float, float]:
    """This system over `peer`, round by round: median, minimum, maximum."""
    ours, theirs = values(measurement.services[OURS]), values(measurement.services[peer])
    ratios = np.array(ours) / np.array(theirs)
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def _write_rounds(measurement: Measurement, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["service", "round", "p50_ms", "p95_ms", "per_second_8_clients"])
        for name, samples in measurement.services.items():
            columns = zip(samples.p50_ms, samples.p95_ms, samples.per_second, strict=True)
            for number, row in enumerate(columns, start=1):
                writer.writerow([name, number, *(f"{value:.2f}" for value in row)])


def _write_memory(measurement: Measurement, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["requests", "resident_mb"])
        writer.writerows((done, f"{mb:.1f}") for done, mb in measurement.memory_mb)


def _table(measurement: Measurement) -> str:
    lines = [
        "# Speed and memory",
        "",
        f"Made by `{COMMAND}`: the public sample radiograph as a 1024 x 1024 PNG, every upload a",
        "new file; each service takes its turn in each round; medians over the rounds. One client",
        "for the latencies, eight for the throughput. All services run at once and share the",
        "machine's processors, idle but for the one under measurement. The images of a study",
        "are made when this system is idle or when they are asked for, and are not counted.",
        "",
        "| service | p50, ms | p95, ms | studies a second, 8 clients | resident memory, MB |",
        "|---|---|---|---|---|",
    ]
    for name, samples in measurement.services.items():
        p50, p95, rate = (
            float(np.median(x)) for x in (samples.p50_ms, samples.p95_ms, samples.per_second)
        )
        lines.append(f"| {name} | {p50:.0f} | {p95:.0f} | {rate:.1f} | {samples.resident_mb:.0f} |")
    first, last = measurement.memory_mb[0], measurement.memory_mb[-1]
    lines += ["", "| figure | measured | target |", "|---|---|---|", *_targets(measurement)]
    lines += [
        f"| resident memory after {last[0]} further studies | {last[1]:.0f} MB"
        f" (before: {first[1]:.0f} MB) | below 1200 MB, flat |",
        "",
        "Ratios are medians over the rounds, with the least and the greatest round in brackets.",
        "`rounds.csv` and `memory.csv` hold the values, `speed.png` the plot.",
        "",
        "![latency, throughput and memory](speed.png)",
    ]
    return "\n".join(lines) + "\n"


def _targets(measurement: Measurement) -> list[str]:
    samples = measurement.services[OURS]
    rows = [
        ("p50 over the one process", _ratio_text(measurement, _p50, ONE_PROCESS), "at most 0.50"),
        ("p50 over LitServe", _ratio_text(measurement, _p50, LITSERVE), "below 1"),
        (
            "throughput over the one process",
            _ratio_text(measurement, _rate, ONE_PROCESS),
            "at least 2.5",
        ),
        ("p50", f"{np.median(samples.p50_ms):.0f} ms", "below 300 ms"),
        ("p95", f"{np.median(samples.p95_ms):.0f} ms", "below 600 ms"),
        (
            "what a client waits beyond the slower service, p50",
            f"{measurement.gateway_adds_ms:.1f} ms",
            "at most 20 ms",
        ),
    ]
    return [f"| {what} | {value} | {target} |" for what, value, target in rows]


def _ratio_text(
    measurement: Measurement, values: Callable[[Samples], list[float]], peer: str
) -> str:
    median, low, high = ratio(measurement, values, peer)
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def _p50(samples: Samples) -> list[float]:
    return samples.p50_ms


def _rate(samples: Samples) -> list[float]:
    return samples.per_second


def _plot(measurement: Measurement, path: Path) -> None:
    names = list(measurement.services)
    samples = list(measurement.services.values())
    figure, (latency, rate, memory) = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    latency.bar(names, [float(np.median(s.p95_ms)) for s in samples], color="#c9d6e4", label="p95")
    latency.bar(names, [float(np.median(s.p50_ms)) for s in samples], color="#2f6db3", label="p50")
    latency.set_ylabel("ms, one client")
    latency.legend(frameon=False)
    rate.bar(names, [float(np.median(s.per_second)) for s in samples], color="#2f6db3")
    rate.set_ylabel("studies a second, 8 clients")
    requests, resident = zip(*measurement.memory_mb, strict=True)
    memory.plot(requests, resident, color="#2f6db3", marker=".")
    memory.set(ylim=(0, 1300), xlabel="studies", ylabel="resident MB, three services")
    memory.axhline(1200, color="#b33", linestyle="--", linewidth=1)
    for axes in (latency, rate):
        axes.set_xticks(
            range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8
        )
    for axes in (latency, rate, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
