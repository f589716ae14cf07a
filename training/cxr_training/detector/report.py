"""The results folder of published detectors: every figure as CSV, FROC curves, and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_contracts import MetricRow
from cxr_detector.fused import is_fused
from cxr_training.data.annotations import CHESTX_DET, NIH, sets_named
from cxr_training.data.splits import Split
from cxr_training.detector.card import network_name
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE, FREQUENT_BOXES, SEED
from cxr_training.detector.published import (
    CURVE_RATES,
    SHARED_REGIONS,
    SUBSETS,
    PublishedEvaluation,
    regions_of_manifest,
)
from cxr_training.report.tables import (
    cells_of,
    format_gap,
    format_interval,
    markdown_table,
    write_csv,
)

FIGURES, FROC, PAGE = "figures.csv", "froc.png", "README.md"
_TITLES = {NIH.name: "NIH's boxes", CHESTX_DET.name: "ChestX-Det's boxes", "both": "both"}
_OWN_FIGURES = (
    "map50", "map50_frequent", "map50_95", *(f"froc_{rate:g}" for rate in FALSE_BOXES_PER_IMAGE),
)  # fmt: skip
Rows = Mapping[tuple[str, str], MetricRow]


def write_results(
    evaluations: Sequence[PublishedEvaluation],
    folder: Path,
    split: Split,
    *,
    default: str | None = None,
) -> None:
    """Write everything into `folder`; what other commands wrote there stays.

    Args:
        evaluations: of the detectors, in the order of the rows.
        folder: made where it is missing.
        split: whose patients.
        default: the name of the detector that is served.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [one.manifest.name for one in evaluations]
    reference = evaluations[names.index(default) if default in names else 0]
    rows = {
        one.manifest.name: [*one.rows, *one.subset_rows, *_gains(one, reference)]
        for one in evaluations
    }
    header = ["model", "figure", "subset", "value", "low", "high", "images", "boxes"]
    lines = (
        [model, row.name, row.subset, *cells_of(row.result), row.n, row.n_positive]
        for model, of_model in rows.items()
        for row in of_model
    )
    write_csv(folder / FIGURES, header, lines)
    _draw_froc(evaluations, folder / FROC)
    found = {
        model: {(row.name, row.subset): row for row in of_model} for model, of_model in rows.items()
    }
    page = _page(
        evaluations,
        found,
        split,
        default=default,
        reference=reference.manifest.name,
        curves=[name for name in names if (folder / f"curves_{name}.png").exists()],
    )
    (folder / PAGE).write_text(page)


def _gains(one: PublishedEvaluation, reference: PublishedEvaluation) -> list[MetricRow]:
    """What a detector gains in mAP50 over the reference, on the same resamples."""
    rows: list[MetricRow] = []
    for subset, result in one.subsets.items():
        other = reference.subsets.get(subset)
        if other is not None and one is not reference:
            title = f"{subset}/over={reference.manifest.name}"
            gain = result.map50 - other.map50
            rows += result.sample.row("map50_known_gain", title, gain, boxes=result.boxes)
    return rows


def _page(
    evaluations: Sequence[PublishedEvaluation],
    found: Mapping[str, Rows],
    split: Split,
    *,
    default: str | None,
    reference: str,
    curves: Sequence[str],
) -> str:
    splits = dict.fromkeys(f"`{one.split_sha256}`" for one in evaluations)
    # Test figures stand in a folder of their own, one deeper.
    docs = "../../.." if split is Split.TEST else "../.."
    shared = ", ".join(region.value.replace("_", " ") for region in SHARED_REGIONS)
    cards = (f"[{name}]({docs}/../models/detector/{name}/MODEL_CARD.md)" for name in found)
    parts = [
        f"# Detectors on {split} patients",
        f"Made by `make evaluate-detector` (`cxr detector evaluate --split {split}`): the "
        "published ONNX file of each model under `models/detector/`, run as the service runs it, "
        f"on radiographs of {split} patients. A detector is served by its name: "
        "`CXR_DETECTOR_MODEL=NAME make run`.",
        f"Split {', '.join(splits)}. 95% intervals: {evaluations[0].resamples} bootstrap resamples "
        f"of the patients, seed {SEED}. Every figure: [{FIGURES}]({FIGURES}).",
        "## Each on its own boxes",
        "The images that a detector's kind of boxes lie on, and the regions that these mark, as "
        "its manifest states. A row of eight regions and one of thirteen are different tasks; "
        "[below](#benchmark-subsets) all are evaluated on the same. mAP50 is the mean over regions "
        "of the average precision at IoU 0.5; FROC is the share of all boxes found at so many "
        "false boxes an image.",
        _main_table(evaluations, found, default),
        f"![FROC curves]({FROC})",
    ]
    if curves:
        linked = ", ".join(f"[{name}](curves_{name}.png)" for name in curves)
        parts.append(f"Training curves: {linked}")
    parts += [
        "## Benchmark subsets",
        "The same images and the same regions for every row: those that NIH boxed, with NIH's "
        "boxes; those that ChestX-Det annotated, with its boxes; all, with both. Every model knows "
        f"the six regions that both sets mark ({shared}); a mean over all regions of a subset is "
        "there only where a model knows them all. Known classes only: NIH boxed one or two "
        "findings of an image, and what nobody looked for counts neither way "
        f"([ADR 0006]({docs}/adr/0006-unmarked-is-not-absent.md), "
        f"[ADR 0013]({docs}/adr/0013-detectors-on-common-ground.md)).",
        _subset_table("mAP50", found, "map50_known"),
        _subset_table("found at one false box an image", found, "froc_1_known"),
    ]
    if len(evaluations) > 1:
        parts += [
            f"Gain over {reference}, on the same resamples of the patients. An interval beyond "
            "zero is a difference; two overlapping intervals above say nothing against one.",
            _subset_table("mAP50 gained", found, "map50_known_gain", f"/over={reference}"),
        ]
    parts += [
        "Two differences remain. ChestX-Det's radiologists drew all thirteen kinds and NIH one or "
        "two an image, each in their own manner, so a detector meets familiar boxes on one subset "
        "and unfamiliar ones on the other; and the sets differ in size.",
        f"Each detector's own regions are in its card: {', '.join(cards)}.",
    ]
    return "\n\n".join(parts) + "\n"


def _main_table(
    evaluations: Sequence[PublishedEvaluation], found: Mapping[str, Rows], default: str | None
) -> str:
    header = ["model", "network", "whose boxes", "regions", "mAP50"]
    header += [f"mAP50, kinds with {FREQUENT_BOXES} boxes or more", "mAP50-95"]
    header += [f"FROC at {rate:g}" for rate in FALSE_BOXES_PER_IMAGE]
    header += ["images, boxes", "MB, ONNX"]
    lines = []
    for one in evaluations:
        manifest, rows = one.manifest, found[one.manifest.name]
        title, network = f"{manifest.name} {manifest.version}", network_name(manifest.architecture)
        fused, row = is_fused(manifest.architecture), rows.get(("map50", "all"))
        lines.append(
            [
                f"**{title}** (default)" if manifest.name == default else title,
                network if fused else f"{network}, {manifest.input.width_px} px",
                " and ".join(one_set.title for one_set in sets_named(one.sets)),
                str(len(regions_of_manifest(manifest))),
                *(_cell(rows.get((name, "all"))) for name in _OWN_FIGURES),
                "-" if row is None else f"{row.n}, {row.n_positive}",
                f"{one.onnx_bytes / 1e6:.1f}",
            ]
        )
    return markdown_table(header, lines)


def _subset_table(title: str, found: Mapping[str, Rows], figure: str, end: str = "") -> str:
    """A row a model that has any of these figures, two columns a benchmark subset."""
    columns = {
        f"{_TITLES[name]}: {regions} regions": f"boxes={name}/classes={classes}{end}"
        for name in SUBSETS
        for classes, regions in (("shared", "six"), ("all", "all"))
    }
    lines = [
        [model, *(_cell(rows.get((figure, on)), signed=bool(end)) for on in columns.values())]
        for model, rows in found.items()
        if any((figure, on) in rows for on in columns.values())
    ]
    return markdown_table([title, *columns], lines)


def _cell(row: MetricRow | None, *, signed: bool = False) -> str:
    """The figure with its interval, or a dash."""
    if row is None:
        return "-"
    return (format_gap if signed else format_interval)(row.result)


def _draw_froc(evaluations: Sequence[PublishedEvaluation], target: Path) -> None:
    """The share of boxes that is found against the false boxes an image, of all models."""
    panels = {"": "each on its own boxes and regions"} | {
        f"boxes={name}/classes=shared": f"{title}, six regions" for name, title in _TITLES.items()
    }
    # A Figure of its own, without pyplot, needs no display.
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    drawn: Sequence[Axes] = figure.subplots(1, len(panels), sharey=True)
    for axes, (on, heading) in zip(drawn, panels.items(), strict=True):
        for number, one in enumerate(evaluations):
            if not on or on in one.subsets:
                curve = one.subsets[on].curve if on else one.curve
                axes.plot(CURVE_RATES, curve, color=f"C{number}", label=one.manifest.name)
        axes.set(xscale="log")
        axes.set_title(heading, fontsize=9)
        axes.grid(alpha=0.3)
    drawn[0].set_ylabel("boxes found (IoU 0.5)")
    figure.supxlabel("false boxes an image", fontsize=10)
    figure.legend(*drawn[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.savefig(target, dpi=110)
