"""The shape of every model card: what it is, how good it is, where it fails; then the details."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_contracts import Interval, MetricRow, ModelManifest
from cxr_training.report.tables import format_interval, markdown_table

RESEARCH_USE = "**For research use. Not a medical device; not for diagnosis.**"
# What nobody but who trained on images of their own can say.
OWN_DRAFT = (
    "**This card is a draft.** Say here whose images these are and from where, of which ages and "
    "devices, who labelled them and how, and what the model is for and what it must not be used "
    "for; then remove this sentence.",
    "Nobody outside the data named below has tried it. Choose patients of another place, and "
    "measure it on them, before anybody relies on it.",
)
# The test set is only ever reported on, so its figures stand first.
SPLITS = ("test", "validation")


@dataclass(frozen=True, slots=True)
class Headline:
    """A line of a card's first table: which figure of the manifest, and in which words."""

    shown: str
    metric: str
    subset: str = "all"
    percent: bool = False


def model_card(
    manifest: ModelManifest,
    *,
    what: str,
    headlines: Sequence[Headline],
    fails: Sequence[str],
    sections: Mapping[str, str],
) -> str:
    """The card in Markdown, from the manifest and the words of its role.

    Args:
        manifest: of the published model; every figure comes from it.
        what: what the model is and what it is for, in a few sentences.
        headlines: the figures of the first screen, the most telling first.
        fails: known weaknesses, a sentence or two each.
        sections: the details by heading, in order; empty ones are left out.
    """
    parts = [
        f"# {manifest.name} {manifest.version}",
        RESEARCH_USE,
        what,
        "## How good it is",
        headline_table(manifest.metrics, headlines),
        "## Where it fails",
        "\n".join(f"- {sentence}" for sentence in fails),
    ]
    for heading, text in {**sections, "With 8-bit integers": _quantised(manifest)}.items():
        parts += [f"## {heading}", text] if text else []
    return "\n\n".join(parts) + "\n"


def _quantised(manifest: ModelManifest) -> str:
    """What the 8-bit file loses; nothing where there is none."""
    int8 = manifest.int8
    if int8 is None:
        return ""
    lines = [
        [row.name.replace("_", " "), row.split, format_interval(row.result, 4), str(row.n)]
        for row in int8.gate
    ]
    table = markdown_table(["Figure", "Patients", "With 95% interval", "Images"], lines)
    what = f"`{int8.onnx.path}` ({int8.onnx.bytes / 1e6:.1f} MB) runs in place of the other file"
    if int8.check is None:
        what = "8-bit files of its members run in place of the others"
    return (
        f"{what} on CPUs with VNNI where that is faster. {int8.method}. A loss is against float32 "
        f"on the same images; below 0 8 bits are better.\n\n{table}"
    )


def headline_table(metrics: Sequence[MetricRow], headlines: Sequence[Headline]) -> str:
    """The headlines with 95% intervals, a column a split that was measured; test patients first."""
    found = {(row.split, row.name, row.subset): row for row in metrics}
    splits = [split for split in SPLITS if any(row.split == split for row in metrics)]
    if not splits:
        return "Nothing was measured yet."
    lines = []
    for headline in headlines:
        rows = [found.get((split, headline.metric, headline.subset)) for split in splits]
        if any(rows):
            cells = [_cell(row, percent=headline.percent) for row in rows]
            lines.append([headline.shown, *cells])
    return markdown_table(
        ["figure, with 95% interval", *(f"{split} patients" for split in splits)], lines
    )


def facts_table(facts: Mapping[str, str]) -> str:
    """What there is to know besides figures, name by name."""
    return "\n".join(
        ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in facts.items())]
    )


def format_share(result: Interval) -> str:
    """E.g. `2.1% (1.4% to 3.0%)`."""
    return f"{result.value:.1%} ({result.low:.1%} to {result.high:.1%})"


def format_figure(result: Interval) -> str:
    """E.g. `0.812 (0.780 to 0.841)`; with a fourth decimal where three would read 1.000."""
    return format_interval(result, 4 if 0.9995 <= result.value < 1 else 3)


def _cell(row: MetricRow | None, *, percent: bool) -> str:
    if row is None:
        return "not measured"
    figure = format_share(row.result) if percent else format_figure(row.result)
    return f"{figure}, {row.n} images"
