"""`docs/results/triage/`: the figures of the published triage model as a page and as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from cxr_contracts import MetricRow, TriageManifest
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY
from cxr_gateway.core.schemas import Priority
from cxr_gateway.core.settings import (
    DEFAULT_ALERT_BUDGET,
    DEFAULT_SOON_BUDGET,
)
from cxr_training.data.splits import Split
from cxr_training.monitoring.triage import FORMS
from cxr_training.report.tables import format_interval, markdown_table

_KINDS = {
    "share_of_immediate": "with an immediate finding",
    "share_of_same_day": "with a same-day finding alone",
    "share_of_no_finding": "without a finding by NIH's label",
    "share_of_verified_normal": "normal to RSNA's radiologists",
    "share": "all",
}


def write_results(manifest: TriageManifest, into: Path) -> None:
    """`README.md` and `triage.csv` of all the figures that the published model's manifest holds."""
    into.mkdir(parents=True, exist_ok=True)
    with (into / "triage.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["split", "name", "subset", "n", "n_positive", "value", "low", "high"])
        for row in manifest.metrics:
            numbers = (row.result.value, row.result.low, row.result.high)
            facts = (row.split, row.name, row.subset, row.n, row.n_positive)
            writer.writerow([*facts, *(f"{x:.4f}" for x in numbers)])
    (into / "README.md").write_text(_page(manifest) + "\n")


def _page(manifest: TriageManifest) -> str:
    parts = [
        "# How triage orders radiographs",
        "Made by `make fit-triage` and `make evaluate-triage SPLIT=test`. Labels are NIH's, mined "
        'from reports and about 90% right; "normal" is what radiologists read (RSNA). Intervals '
        "are 95%, over patients. "
        f"Budgets are the defaults: {DEFAULT_ALERT_BUDGET:.0%} urgent, a further "
        f"{DEFAULT_SOON_BUDGET:.0%} soon, "
        "as shares of validation patients' images. Official-test patients are sicker, so more of "
        "theirs are called.",
        f"Immediate: {_names(IMMEDIATE)}. Same day: {_names(SAME_DAY)}.",
    ]
    for split in (Split.TEST, Split.VALIDATION):
        rows = [row for row in manifest.metrics if row.split == split.value]
        if any(row.name == "share" for row in rows):
            parts += _split_part(rows, split)
    parts += _forms_part(manifest)
    return "\n\n".join(parts)


def _split_part(rows: Sequence[MetricRow], split: Split) -> list[str]:
    found = {(row.name, row.subset): row for row in rows}
    header = ["radiographs", "n", *(priority.value for priority in Priority)]
    table = []
    for name, said in _KINDS.items():
        cells = [found.get((name, priority.value)) for priority in Priority]
        if all(cells):
            shown = [_percent(cell) for cell in cells if cell]
            table.append([said, str(cells[0].n if cells[0] else 0), *shown])
    called = [
        [
            priority.value,
            str(row.n),
            _percent(row),
            _percent(found["precision_same_day", priority.value]),
        ]
        for priority in Priority
        if (row := found.get(("precision_immediate", priority.value)))
    ]
    lines = [
        f"- {said}: {format_interval(row.result, digits)}"
        for name, subset, said, digits in (
            ("auroc_immediate", "all", "AUROC of the score for an immediate finding", 3),
            ("auroc_immediate", "view=PA", "the same, PA views", 3),
            ("auroc_immediate", "view=AP", "the same, AP views", 3),
            ("auroc_same_day", "all", "AUROC for an immediate or same-day finding", 3),
            ("lift_immediate", "urgent", "immediate findings among urgent images over all", 2),
        )
        if (row := found.get((name, subset)))
    ]
    patients = "Test patients" if split is Split.TEST else "Validation patients (weights fitted)"
    return [
        f"## {patients}",
        markdown_table(header, table),
        markdown_table(
            ["called", "n", "had an immediate finding", "had that or a same-day finding"], called
        ),
        "\n".join(lines),
    ]


def _forms_part(manifest: TriageManifest) -> list[str]:
    losses = {row.subset: row.result.value for row in manifest.metrics if row.name == "log_loss"}
    rows = [
        [form, *(f"{losses[f'{kind}/{form}']:.4f}" for kind in ("immediate", "same_day"))]
        for form in FORMS
        if f"immediate/{form}" in losses
    ]
    return [
        "## Forms compared",
        f"Cross-fitted log loss on validation patients; published: {manifest.fit.form}.",
        markdown_table(["form", "immediate", "immediate or same day"], rows),
    ]


def _percent(row: MetricRow) -> str:
    one = row.result
    return f"{one.value:.0%} ({100 * one.low:.0f} to {100 * one.high:.0f})"


def _names(findings: Sequence[str]) -> str:
    return ", ".join(str(finding).replace("_", " ") for finding in findings)
