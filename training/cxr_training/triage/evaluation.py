"""Shares of each priority among kinds of radiographs, with intervals over patients."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_contracts import Interval
from cxr_gateway.schemas import Priority
from cxr_gateway.triage import IMMEDIATE, SAME_DAY
from cxr_training.metrics.bootstrap import bootstrap_interval
from cxr_training.triage.readings import TriagedImage

RESAMPLES = 1000
COMMAND = "make evaluate-triage"

# Kinds of radiographs by NIH's labels, the most urgent first; each image is of one kind.
KINDS: tuple[tuple[str, Callable[[TriagedImage], bool]], ...] = (
    ("an immediate finding", lambda image: bool(image.findings & set(IMMEDIATE))),
    ("a same-day finding", lambda image: bool(image.findings & set(SAME_DAY))),
    ("another finding", lambda image: bool(image.findings)),
    ("no finding", lambda image: not image.findings),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Of the images of one kind, the share that is given one priority."""

    kind: str
    n: int
    priority: Priority
    share: Interval


def evaluate(images: Sequence[TriagedImage], *, seed: int = 1) -> list[Row]:
    """A row for each kind of radiograph and priority."""
    kinds = np.array([_kind_of(image) for image in images])
    priorities = np.array([image.priority.value for image in images])
    patients = [image.patient for image in images]
    rows = []
    for kind, _ in KINDS:
        of_kind = kinds == kind
        for priority in Priority:
            share = bootstrap_interval(
                _share(of_kind, of_kind & (priorities == priority.value)),
                patients,
                resamples=RESAMPLES,
                seed=seed,
            )
            if share is not None:
                rows.append(Row(kind, int(of_kind.sum()), priority, share))
    return rows


def write(rows: Sequence[Row], folder: Path) -> None:
    """`triage.csv` and a page that shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "triage.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["kind", "n", "priority", "share", "low", "high"])
        for row in rows:
            numbers = (row.share.value, row.share.low, row.share.high)
            writer.writerow([row.kind, row.n, row.priority.value, *(f"{x:.4f}" for x in numbers)])
    (folder / "README.md").write_text(_page(rows))


def _page(rows: Sequence[Row]) -> str:
    lines = [
        "# How the triage table orders radiographs",
        "",
        f"Made by `{COMMAND}`: the published classifier and detector and the",
        "gateway's table on all validation radiographs of NIH ChestX-ray14, by NIH's labels (mined",
        "from reports, about 90% right). Shares with 95% intervals over patients. The thresholds",
        "were chosen on the same patients, so expect somewhat less on others.",
        "",
        f"Immediate: {_names(IMMEDIATE)}. Same day: {_names(SAME_DAY)}.",
        "",
        "| radiographs with | n | urgent | soon | routine |",
        "|---|--:|--:|--:|--:|",
    ]
    for kind, _ in KINDS:
        of_kind = [row for row in rows if row.kind == kind]
        if of_kind:
            shares = " | ".join(
                f"{100 * row.share.value:.0f}% ({100 * row.share.low:.0f} to"
                f" {100 * row.share.high:.0f})"
                for row in of_kind
            )
            lines.append(f"| {kind} | {of_kind[0].n} | {shares} |")
    return "\n".join(lines) + "\n"


def _names(findings: Sequence[str]) -> str:
    return ", ".join(str(finding).replace("_", " ") for finding in findings)


def _kind_of(image: TriagedImage) -> str:
    return next(kind for kind, holds in KINDS if holds(image))


def _share(
    whole: npt.NDArray[np.bool_], part: npt.NDArray[np.bool_]
) -> Callable[[npt.NDArray[np.int64]], float]:
    def statistic(weights: npt.NDArray[np.int64]) -> float:
        total = weights[whole].sum()
        return float(weights[part].sum() / total) if total else float("nan")

    return statistic
