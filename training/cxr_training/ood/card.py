"""The gate's model card, written from its manifest alone."""

from pathlib import Path

from cxr_contracts import MetricRow, ModelManifest

_STATED = """\
Decides whether a picture is an upright, whole, frontal chest radiograph (PA or AP, bone bright),
before any reader sees it. Everything else is refused, with a score and a reason.

**Research use, not a medical device.**
"""
_LIMITS = """\
- Judged on one hospital's adults, mostly; radiographs of small children are rare in NIH's data.
- Real strangers are few: whole kinds (CT, MR, ultrasound, a leg) were kept for judging and never
  trained on, but each is only a handful of files. Lateral chest radiographs, abdomen, spine and
  other bones were neither available to train on nor to judge by, apart from one lower leg.
- A mirrored radiograph is accepted: a heart on the right is an anatomy, too.
- A photograph or screenshot that a radiograph fills is a radiograph to this gate.
"""


def write_card(manifest: ModelManifest, path: Path) -> None:
    """Write the card; tables hold every figure of the manifest."""
    label = manifest.labels[0]
    recipe = manifest.training.recipe
    lines = [
        f"# {manifest.name} {manifest.version}",
        "",
        _STATED,
        "| | |",
        "|---|---|",
        f"| Input | grey, stretched to {manifest.input.width_px} x {manifest.input.height_px} px, "
        "standardised picture by picture |",
        f"| Kinds told apart | {', '.join(manifest.extra['kinds'])} |",
        f"| Accepted from | score {label.threshold:.2f}; {label.threshold_rule} |",
        f"| Size | {manifest.onnx.bytes / 1e6:.2f} MB (ONNX) |",
        f"| Trained on | {manifest.data.n_train} radiographs ({'; '.join(manifest.data.sources)}), "
        f"{recipe['steps']} steps of {recipe['batch']} pictures |",
        f"| Judged on | {manifest.data.n_validation} radiographs of other patients |",
        f"| Made by | `{manifest.training.command}` at {manifest.training.commit[:12]} |",
        f"| Licence | {manifest.licence} |",
        "",
        *_figures(manifest),
        "## Limits",
        "",
        _LIMITS,
    ]
    path.write_text("\n".join(lines))


def results_page(manifest: ModelManifest) -> str:
    """docs/results/gate/README.md: the tables of the card beside the plot."""
    return "\n".join(
        [
            f"# What {manifest.name} {manifest.version} refuses",
            "",
            f"Judged by `make evaluate-gate` on {manifest.data.n_validation} radiographs of "
            f"validation patients (split `{manifest.data.split_sha256[:12]}`) and on strangers; "
            "[gate.csv](gate.csv) holds every line.",
            "",
            "![share refused by kind, and scores](gate.png)",
            "",
            *_figures(manifest),
        ]
    )


def _figures(manifest: ModelManifest) -> list[str]:
    return [
        "## Radiographs refused by mistake",
        "",
        *_table(manifest.metrics, "false_refusal_rate", percent=True),
        "",
        "## Strangers: AUC against validation radiographs",
        "",
        *_table(manifest.metrics, "auroc", percent=False),
        "",
        "## Strangers refused",
        "",
        *_table(manifest.metrics, "refused_share", percent=True),
        "",
        "Intervals are 95%, by resampling patients and files.",
        "",
    ]


def _table(metrics: list[MetricRow], name: str, *, percent: bool) -> list[str]:
    rows = [row for row in metrics if row.name == name]
    if not rows:
        return ["Not measured yet."]
    header = ["| Pictures | n | Value | 95% interval |", "|---|---:|---:|---:|"]
    return header + [_line(row, percent=percent) for row in rows]


def _line(row: MetricRow, *, percent: bool) -> str:
    value, low, high = row.result.value, row.result.low, row.result.high
    if percent:
        return f"| {row.subset} | {row.n} | {value:.1%} | {low:.1%} to {high:.1%} |"
    return f"| {row.subset} | {row.n} | {value:.4f} | {low:.4f} to {high:.4f} |"
