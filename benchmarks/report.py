"""Turns a measurement into `docs/results/speed/`: CSV, a table, a plot."""

import csv
import os
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.images import DICOM_COLUMNS, DICOM_ROWS
from benchmarks.measure import (
    BENTOML,
    EARLIER_PROCESS,
    IN_TURN,
    LITSERVE,
    ONE_PROCESS,
    OURS,
    OURS_DICOM,
    SIDE_BY_SIDE,
    Measurement,
    Samples,
)
from benchmarks.served import CLASSIFIER, DETECTOR
from cxr_serving.quantised import VNNI, cpu_flags

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend is chosen first
from matplotlib.axes import Axes

COMMAND = "make bench"
_MOST_MB = 700


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
            columns = zip_longest(samples.p50_ms, samples.p95_ms, samples.per_second)
            for number, row in enumerate(columns, start=1):
                writer.writerow([name, number, *(_number(value, ".2f") for value in row)])


def _write_memory(measurement: Measurement, path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["requests", "resident_mb"])
        writer.writerows((done, f"{mb:.1f}") for done, mb in measurement.memory_mb)


def _table(measurement: Measurement) -> str:
    rounds = len(measurement.services[OURS].p50_ms)
    lines = [
        "# Speed and memory",
        "",
        f"Made by `{COMMAND}` on {os.cpu_count()} cores {_vnni()}: the public sample radiograph as "
        "a 1024 x 1024 PNG, every upload a new file; each service takes its turn in each round; "
        f"medians over {rounds} rounds. One client for the latencies, eight for the throughput. "
        "All services run at once and share the machine's processors, idle but for the one under "
        "measurement. The images of a study are made when this system is idle or when they are "
        "asked for, and are not counted.",
        "",
        f"DICOM is the same radiograph enlarged to {DICOM_ROWS:,} x {DICOM_COLUMNS:,} pixels of 16 "
        "bits, uncompressed, sent after everything else. The ONNX files alone are the limit: the "
        f"networks that are served, `{CLASSIFIER.name}` and `{DETECTOR.name}`, each on all cores, "
        "without HTTP, decoding and resizing, one after the other and side by side.",
        "",
        "| service | p50, ms | p95, ms | studies a second, 8 clients | resident memory, MB |",
        "|---|---|---|---|---|",
    ]
    for name, samples in measurement.services.items():
        p50, p95 = (f"{np.median(values):.0f}" for values in (samples.p50_ms, samples.p95_ms))
        rate = _number(np.median(samples.per_second) if samples.per_second else None, ".1f")
        lines.append(f"| {name} | {p50} | {p95} | {rate} | {_number(samples.resident_mb, '.0f')} |")
    lines += [
        "",
        "Memory is that of all processes of a service.",
        "",
        "| figure | before | measured | target |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in _targets(measurement)),
        "",
        "Ratios are medians over the rounds, with the least and the greatest round in brackets. "
        "*Before* is what was measured when the targets were set."
        + (
            " The earlier detector is the one that `EARLIER_DETECTOR` named."
            if EARLIER_PROCESS in measurement.services
            else ""
        ),
        "The three services' memory leaves out the processes that decode files, as it did then. "
        "`rounds.csv` and `memory.csv` hold the values, `speed.png` the plot.",
        "",
        "![latency, throughput and memory](speed.png)",
    ]
    return "\n".join(lines) + "\n"


def _vnni() -> str:
    """Whether 8-bit files of the models run here."""
    return "with VNNI" if VNNI & cpu_flags() else "without VNNI"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _targets(measurement: Measurement) -> list[tuple[str, str, str, str]]:
    """What, before, measured, target."""
    services = measurement.services
    first, last = measurement.memory_mb[0], measurement.memory_mb[-1]
    limit = min((IN_TURN, SIDE_BY_SIDE), key=lambda name: np.median(services[name].p50_ms))

    def over(peer: str) -> str:
        median, low, high = ratio(measurement, _p50, peer)
        return f"{median:.2f} [{low:.2f}, {high:.2f}]"

    return [
        (
            "p50, 1024 px PNG",
            "188 ms",
            f"{np.median(services[OURS].p50_ms):.0f} ms",
            "at most 60 ms",
        ),
        (
            "p50, 3,000 x 2,500 DICOM",
            "",
            f"{np.median(services[OURS_DICOM].p50_ms):.0f} ms",
            "at most 90 ms",
        ),
        *(
            [
                (
                    "p50 over one eager process with an earlier detector",
                    "0.60",
                    over(EARLIER_PROCESS),
                    "at most 0.20",
                )
            ]
            if EARLIER_PROCESS in services
            else []
        ),
        (
            "p50 over one eager process with the same networks",
            "",
            over(ONE_PROCESS),
            "at most 0.70",
        ),
        ("p50 over LitServe", "", over(LITSERVE), "below 1"),
        ("p50 over BentoML", "", over(BENTOML), "below 1"),
        (
            "studies a second, 8 clients",
            "6.2",
            f"{np.median(services[OURS].per_second):.1f}",
            "at least 28",
        ),
        (
            "what a client waits beyond the slower service, p50",
            "35 ms",
            f"{measurement.gateway_adds_ms:.1f} ms",
            "at most 15 ms",
        ),
        (
            f"resident memory of the three services after {last[0]:,} further studies",
            "1,003 MB",
            f"{last[1]:,.0f} MB (at the start: {first[1]:,.0f} MB)",
            f"at most {_MOST_MB} MB, flat",
        ),
        (f"p50 over {limit}", "", over(limit), "1 is the limit"),
    ]


def _p50(samples: Samples) -> list[float]:
    return samples.p50_ms


def _plot(measurement: Measurement, path: Path) -> None:
    services = measurement.services
    loaded = {name: samples for name, samples in services.items() if samples.per_second}
    figure, (latency, rate, memory) = plt.subplots(1, 3, figsize=(15, 3.6), layout="constrained")
    _bars(latency, services, "p95", lambda samples: samples.p95_ms, "#c9d6e4")
    _bars(latency, services, "p50", _p50, "#2f6db3")
    latency.set_xlabel("ms, one client")
    latency.legend(frameon=False)
    _bars(rate, loaded, "", lambda samples: samples.per_second, "#2f6db3")
    rate.set_xlabel("studies a second, 8 clients")
    requests, resident = zip(*measurement.memory_mb, strict=True)
    memory.plot(requests, resident, color="#2f6db3", marker=".")
    memory.set(ylim=(0, 1.2 * max(_MOST_MB, *resident)), xlabel="studies")
    memory.set_ylabel("resident MB, three services")
    memory.axhline(_MOST_MB, color="#b33", linestyle="--", linewidth=1)
    for axes in (latency, rate):
        axes.invert_yaxis()
        axes.tick_params(axis="y", labelsize=8)
    for axes in (latency, rate, memory):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(
    axes: Axes,
    services: dict[str, Samples],
    label: str,
    values: Callable[[Samples], list[float]],
    colour: str,
) -> None:
    """A bar for each service, from the top down."""
    medians = [float(np.median(values(samples))) for samples in services.values()]
    axes.barh(list(services), medians, color=colour, label=label)
