"""The results folder of published detectors: CSVs, and the plots and the page made of them.

- `figures.csv`: every figure of every detector.
- `models.csv`: what each detector is, whose boxes it learnt from, and what it costs.
- `froc.csv`: the points of the FROC curves.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_contracts import MetricRow, Region
from cxr_detector.fused import is_fused
from cxr_training.data.annotations import CHESTX_DET, NIH, sets_named
from cxr_training.data.splits import Split
from cxr_training.detector.benchmark import KNOWN, SHARED, SHARED_REGIONS, SUBSETS, gains
from cxr_training.detector.card import network_name
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE, SEED
from cxr_training.detector.published import PublishedEvaluation
from cxr_training.metrics.detection import FloatArray, froc_curve
from cxr_training.report.tables import format_interval, markdown_table

FIGURES, MODELS, FROC, PAGE = "figures.csv", "models.csv", "froc.csv", "README.md"
_CURVE_RATES: FloatArray = np.geomspace(0.05, 8.0, 40)
_OWN = "own"
_TITLES = {
    NIH.name: "NIH's boxes",
    CHESTX_DET.name: "ChestX-Det's boxes",
    "both": "both",
}
_PANELS = {_OWN: "each on its own boxes and regions"} | {
    f"boxes={name}/classes={SHARED}": f"{title}, six regions" for name, title in _TITLES.items()
}


class Results:
    """The figures of several detectors of one split, by name."""

    def __init__(
        self, evaluations: Sequence[PublishedEvaluation], split: Split, default: str | None
    ) -> None:
        self.evaluations = {one.manifest.name: one for one in evaluations}
        self.split = split
        self.default = default
        self.reference = default if default in self.evaluations else next(iter(self.evaluations))
        over = self.evaluations[self.reference].subsets
        self.rows: dict[str, list[MetricRow]] = {}
        for name, one in self.evaluations.items():
            gained = [] if name == self.reference else gains(one.subsets, over, self.reference)
            self.rows[name] = [*one.rows, *one.detail, *gained]

    def row(self, model: str, name: str, subset: str) -> MetricRow | None:
        """A figure of a detector, or None."""
        found = [r for r in self.rows[model] if (r.name, r.subset) == (name, subset)]
        return found[0] if found else None

    def cell(self, model: str, name: str, subset: str) -> str:
        """The figure with its interval, or a dash."""
        row = self.row(model, name, subset)
        return "-" if row is None else format_interval(row.result)


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
    results = Results(evaluations, split, default)
    columns = ("model", "figure", "subset", "value", "low", "high", "images", "boxes")
    _write(folder / FIGURES, columns, _figure_lines(results))
    lines = [_model_line(one, default) for one in evaluations]
    _write(folder / MODELS, tuple(lines[0]), (line.values() for line in lines))
    curves = {
        (name, on): froc_curve(matches, _CURVE_RATES)
        for name, one in results.evaluations.items()
        for on, matches in [(_OWN, one.matches), *((s.subset, s.matches) for s in one.subsets)]
    }
    points = (
        [name, on, f"{rate:.3f}", f"{found:.4f}"]
        for (name, on), curve in curves.items()
        for rate, found in zip(_CURVE_RATES, curve, strict=True)
    )
    _write(folder / FROC, ("model", "on", "false_boxes", "sensitivity"), points)
    _draw_forest(results, folder / "map50.png")
    _draw_froc(curves, list(results.evaluations), folder / "froc.png")
    (folder / PAGE).write_text(_page(results, folder))


def _figure_lines(results: Results) -> Iterable[list[str]]:
    for name, rows in results.rows.items():
        for row in rows:
            numbers = (row.result.value, row.result.low, row.result.high)
            counts = [str(row.n), str(row.n_positive)]
            yield [name, row.name, row.subset, *(f"{x:.4f}" for x in numbers), *counts]


def _model_line(one: PublishedEvaluation, default: str | None) -> dict[str, str]:
    manifest, fused = one.manifest, is_fused(one.manifest.architecture)
    start = [said.removeprefix("Start: ") for said in manifest.data.sources if "Start: " in said]
    members = manifest.training.recipe["members"] if fused else []
    return {
        "model": manifest.name,
        "version": manifest.version,
        "default": "yes" if manifest.name == default else "",
        "architecture": network_name(manifest.architecture),
        "input_px": "" if fused else str(manifest.input.width_px),
        "boxes": " ".join(one.rules.sets),
        "regions": " ".join(region.value for region in one.regions),
        "start": "" if fused or not start else start[0],
        "trained_on": "" if fused else str(manifest.data.n_train),
        "members": " ".join(member.split()[0] for member in members),
        "onnx_mb": f"{one.onnx_bytes / 1e6:.1f}",
        "onnx_ms": f"{one.onnx_ms:.1f}",
        "weights": manifest.weights.sha256,
        "onnx": manifest.onnx.sha256,
        "split": one.split_sha256,
    }


def _page(results: Results, folder: Path) -> str:
    first = next(iter(results.evaluations.values()))
    splits = dict.fromkeys(one.split_sha256 for one in results.evaluations.values())
    shared = ", ".join(region.value.replace("_", " ") for region in SHARED_REGIONS)
    curves = [name for name in results.evaluations if (folder / f"curves_{name}.png").exists()]
    parts = [
        f"# Detectors on {results.split} patients",
        f"Made by `make evaluate-detector` (`cxr detector evaluate --split {results.split}`): the "
        "published ONNX file of each model under `models/detector/`, run as the service runs it, "
        f"on radiographs of {results.split} patients. A detector is served by its name: "
        "`CXR_DETECTOR_MODEL=NAME make run`.",
        f"Split {', '.join(f'`{split}`' for split in splits)}. 95% intervals: {first.resamples} "
        f"bootstrap resamples of the patients, seed {SEED}.",
        "## Each on its own boxes",
        "The images that a detector's kind of boxes lie on, and the regions that these mark, as "
        "its manifest states. A row of eight regions and one of thirteen are different tasks; "
        "[below](#benchmark-subsets) all are evaluated on the same. mAP50 is the mean over regions "
        "of the average precision at IoU 0.5; FROC is the share of all boxes found at so many "
        "false boxes an image. Milliseconds are those of one image on one thread, through all "
        "networks of a fused detector one after the other, where this page was made.",
        _main_table(results),
        "![mAP50 of each model with its interval](map50.png)",
        "![FROC curves](froc.png)",
        f"As numbers: [{FIGURES}]({FIGURES}), [{MODELS}]({MODELS}), [{FROC}]({FROC}). Rescored "
        "with the classifier: [rescoring](../rescoring/README.md).",
        *(
            ["Training curves: " + ", ".join(f"[{name}](curves_{name}.png)" for name in curves)]
            if curves
            else []
        ),
        "## Benchmark subsets",
        "The same images and the same regions for every row: those that NIH boxed, with NIH's "
        "boxes; those that ChestX-Det annotated, with its boxes; all, with both. Every model knows "
        f"the six regions that both sets mark ({shared}); a mean over all regions of a subset is "
        "there only where a model knows them all. Known classes only: NIH boxed one or two "
        "findings of an image, and what nobody looked for counts neither way "
        "([ADR 0006](../../adr/0006-unmarked-is-not-absent.md), "
        "[ADR 0013](../../adr/0013-detectors-on-common-ground.md)).",
        _subset_table(results, "map50_known"),
        "The share of boxes found at one false box an image, on the same images and regions:",
        _subset_table(results, "froc_1_known"),
        *_gain_table(results),
        "Two differences remain. ChestX-Det's radiologists drew all thirteen kinds and NIH one or "
        "two an image, each in their own manner, so a detector meets familiar boxes on one subset "
        "and unfamiliar ones on the other; and the sets differ in size.",
        "## By region, on benchmark subsets",
        "AP50 over known classes, and the number of boxes.",
        *(_region_table(results, name) for name in (NIH.name, CHESTX_DET.name)),
        "Each detector's own regions are in its card: "
        + ", ".join(
            f"[{name}](../../../models/detector/{name}/MODEL_CARD.md)"
            for name in results.evaluations
        )
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _main_table(results: Results) -> str:
    header = ["model", "network", "whose boxes", "regions", "mAP50", "mAP50-95"]
    header += [f"FROC at {rate:g}" for rate in FALSE_BOXES_PER_IMAGE]
    header += ["images, boxes", "MB, ONNX", "ms, ONNX"]
    lines = []
    for name, one in results.evaluations.items():
        manifest, row = one.manifest, results.row(name, "map50", "all")
        title, network = f"{name} {manifest.version}", network_name(manifest.architecture)
        fused = is_fused(manifest.architecture)
        lines.append(
            [
                f"**{title}** (default)" if name == results.default else title,
                network if fused else f"{network}, {manifest.input.width_px} px",
                " and ".join(one_set.title for one_set in sets_named(one.rules.sets)),
                str(len(one.regions)),
                results.cell(name, "map50", "all"),
                results.cell(name, "map50_95", "all"),
                *(results.cell(name, f"froc_{rate:g}", "all") for rate in FALSE_BOXES_PER_IMAGE),
                "-" if row is None else f"{row.n}, {row.n_positive}",
                f"{one.onnx_bytes / 1e6:.1f}",
                f"{one.onnx_ms:.1f}",
            ]
        )
    return markdown_table(header, lines)


def _subset_table(results: Results, figure: str) -> str:
    header, sizes = ["model"], {name: _regions_on(results, name) for name in SUBSETS}
    for name, title in _TITLES.items():
        header += [f"{title}: six regions", f"all {max(sizes[name].values())}"]
    lines = []
    for model in results.evaluations:
        cells = [model]
        for name in SUBSETS:
            cells.append(results.cell(model, figure, f"boxes={name}/classes={SHARED}"))
            known = results.cell(model, figure, f"boxes={name}/classes={KNOWN}")
            everything = results.cell(model, figure, f"boxes={name}/classes=all")
            cells.append(everything if known == "-" else f"{known}, {sizes[name][model]} of them")
        lines.append(cells)
    return markdown_table(header, lines)


def _regions_on(results: Results, subset: str) -> dict[str, int]:
    """Of how many regions of a subset each detector has a figure."""
    return {
        model: sum(r.name == "ap50_known" and r.subset.startswith(f"boxes={subset}/") for r in rows)
        for model, rows in results.rows.items()
    }


def _gain_table(results: Results) -> list[str]:
    lines = []
    for model in results.evaluations:
        cells = [
            _signed(results, model, f"boxes={name}/classes={of}")
            for name in SUBSETS
            for of in (SHARED, "all")
        ]
        if set(cells) - {"-"}:
            lines.append([model, *cells])
    if not lines:
        return []
    header = [f"{title}: {of}" for title in _TITLES.values() for of in ("six", "all")]
    return [
        f"Gain over {results.reference}, on the same resamples of the patients. An interval beyond "
        "zero is a difference; two overlapping intervals above say nothing against one.",
        markdown_table(["mAP50 gained", *header], lines),
    ]


def _signed(results: Results, model: str, subset: str) -> str:
    row = results.row(model, "map50_known_gain", f"{subset}/over={results.reference}")
    if row is None:
        return "-"
    return f"{row.result.value:+.3f} ({row.result.low:+.3f} to {row.result.high:+.3f})"


def _region_table(results: Results, subset: str) -> str:
    lines = []
    for region in Region:
        rows = [
            results.row(model, "ap50_known", f"boxes={subset}/{region.value}")
            for model in results.evaluations
        ]
        counts = [str(row.n_positive) for row in rows if row is not None]
        if counts:
            cells = ["-" if row is None else format_interval(row.result) for row in rows]
            lines.append([region.value.replace("_", " "), counts[0], *cells])
    return markdown_table([_TITLES[subset], "boxes", *results.evaluations], lines)


def _draw_forest(results: Results, target: Path) -> None:
    """mAP50 of each model with its interval: on its own boxes and on the benchmark subsets."""
    models = list(results.evaluations)
    # A Figure of its own, without pyplot, needs no display.
    figure = Figure(figsize=(13, 1.4 + 0.35 * len(models)), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (on, heading) in zip(panels, _PANELS.items(), strict=True):
        name, subset = ("map50", "all") if on == _OWN else ("map50_known", on)
        for place, model in enumerate(models):
            row = results.row(model, name, subset)
            if row is not None:
                value, low, high = row.result.value, row.result.low, row.result.high
                arms = [[value - low], [high - value]]
                axes.errorbar([value], [place], xerr=arms, fmt="o", color="C0", capsize=3)
        axes.set_title(heading, fontsize=9)
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    figure.supxlabel("mAP50", fontsize=10)
    figure.savefig(target, dpi=110)


def _draw_froc(
    curves: dict[tuple[str, str], FloatArray], models: Sequence[str], target: Path
) -> None:
    """The share of boxes that is found against the false boxes an image, of all models."""
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (on, heading) in zip(panels, _PANELS.items(), strict=True):
        for number, model in enumerate(models):
            if (model, on) in curves:
                axes.plot(_CURVE_RATES, curves[model, on], color=f"C{number}", label=model)
        axes.set_xscale("log")
        axes.set_title(heading, fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("boxes found (IoU 0.5)")
    figure.supxlabel("false boxes an image", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    figure.savefig(target, dpi=110)


def _write(path: Path, columns: Sequence[str], lines: Iterable[Iterable[str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
