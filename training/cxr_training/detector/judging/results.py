"""The results folder: CSVs first, then plots and the page, which are made of the CSVs.

- `figures.csv`: every figure of every model.
- `models.csv`: what each model is, whose boxes it learnt from, and what it costs.
- `precision_recall.csv`, `froc.csv`: the points of the curves.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from cxr_contracts import Interval, MetricRow, ModelManifest
from cxr_detector.fused import is_fused
from cxr_training.detector.annotations import BOTH_SETS
from cxr_training.detector.card import network_name
from cxr_training.detector.judging.curves import FALSE_BOXES, froc, precision_recall
from cxr_training.detector.judging.grounds import gains
from cxr_training.detector.judging.joined import read_joined
from cxr_training.detector.judging.judge import Judgement
from cxr_training.detector.judging.page import PAGE, page
from cxr_training.detector.judging.plots import draw_forest, draw_froc, draw_precision_recall
from cxr_training.detector.judging.table import ModelLine, Results

FIGURES, MODELS = "figures.csv", "models.csv"
PRECISION_RECALL, FROC = "precision_recall.csv", "froc.csv"
OWN = "own"
_FIGURE_COLUMNS = ("model", "figure", "subset", "value", "low", "high", "images", "boxes")


def write_results(
    judgements: Sequence[Judgement],
    folder: Path,
    differences: dict[str, list[str]],
    *,
    default: str | None = None,
    joining: Path | None = None,
) -> None:
    """Write everything into `folder`; what other commands wrote there stays, and joins the page.

    Args:
        judgements: of the models, in the order of the rows.
        folder: made where it is missing.
        differences: of each comparable model from its manifest, as sentences.
        default: the name of the model that is served.
        joining: the folder of the joinings' results.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [one.manifest.name for one in judgements]
    reference = default if default in names else names[0]
    _write(folder / FIGURES, _FIGURE_COLUMNS, _figure_lines(judgements, reference))
    columns = [field.name for field in fields(ModelLine)]
    lines = [_model_line(one, is_default=one.manifest.name == default) for one in judgements]
    _write(folder / MODELS, columns, [[str(cell) for cell in astuple(line)] for line in lines])
    _write(
        folder / PRECISION_RECALL,
        ("model", "region", "recall", "precision"),
        _precision_recall_lines(judgements),
    )
    _write(folder / FROC, ("model", "on", "false_boxes", "sensitivity"), _froc_lines(judgements))
    results = Results(
        models=[ModelLine(**line) for line in _read(folder / MODELS)],
        figures=read_figures(folder / FIGURES),
        joined=read_joined(joining) if joining else [],
        reference=reference,
    )
    draw_forest(results, folder / "map50.png")
    draw_froc(_read(folder / FROC), folder / "froc.png")
    for name in names:
        points = [line for line in _read(folder / PRECISION_RECALL) if line["model"] == name]
        draw_precision_recall(points, results, name, folder / f"precision_recall_{name}.png")
    (folder / PAGE).write_text(page(judgements, results, folder, differences))


def read_figures(path: Path) -> dict[str, list[MetricRow]]:
    """The rows of `figures.csv` by model."""
    rows: dict[str, list[MetricRow]] = {}
    for line in _read(path):
        rows.setdefault(line["model"], []).append(
            MetricRow(
                name=line["figure"],
                subset=line["subset"],
                split="validation",
                result=Interval(**{key: float(line[key]) for key in ("value", "low", "high")}),
                n=int(line["images"]),
                n_positive=int(line["boxes"]),
            )
        )
    return rows


def _figure_lines(judgements: Sequence[Judgement], reference: str) -> list[list[str]]:
    [over] = [one.standings for one in judgements if one.manifest.name == reference]
    lines = []
    for one in judgements:
        name = one.manifest.name
        gained = gains(one.standings, over, reference) if name != reference else []
        for row in (*one.rows, *one.detail, *gained):
            numbers = (row.result.value, row.result.low, row.result.high)
            counts = [str(row.n), str(row.n_positive)]
            lines.append([name, row.name, row.subset, *(f"{x:.4f}" for x in numbers), *counts])
    return lines


def _model_line(judgement: Judgement, *, is_default: bool) -> ModelLine:
    manifest, cost = judgement.manifest, judgement.cost
    start = [one.removeprefix("Start: ") for one in manifest.data.sources if "Start: " in one]
    fused = is_fused(manifest.architecture)
    return ModelLine(
        model=manifest.name,
        version=manifest.version,
        default="yes" if is_default else "",
        architecture=network_name(manifest.architecture),
        input_px="" if fused else str(manifest.input.width_px),
        boxes=" ".join(one for one in BOTH_SETS if one in judgement.rules.sets),
        regions=" ".join(region.value for region in judgement.regions),
        start="" if fused or not start else start[0],
        trained_on="" if fused else str(manifest.data.n_train),
        members=" ".join(_members(manifest)) if fused else "",
        parameters=str(cost.parameters),
        onnx_ms=f"{cost.onnx_ms:.1f}",
        torch_ms=f"{cost.torch_ms:.1f}",
        weights=manifest.weights.sha256,
        onnx=manifest.onnx.sha256,
        split=judgement.split_sha256,
    )


def _members(manifest: ModelManifest) -> list[str]:
    """The names of the detectors that it is made of."""
    return [one.split()[0] for one in manifest.training.recipe["members"]]


def _precision_recall_lines(judgements: Sequence[Judgement]) -> list[list[str]]:
    return [
        [one.manifest.name, region.value, f"{recall:.2f}", f"{precision:.4f}"]
        for one in judgements
        for label, region in enumerate(one.regions)
        for recall, precision in zip(*precision_recall(one.matches, label), strict=True)
    ]


def _froc_lines(judgements: Sequence[Judgement]) -> list[list[str]]:
    return [
        [one.manifest.name, on, f"{rate:.3f}", f"{found:.4f}"]
        for one in judgements
        for on, matches in [(OWN, one.matches), *((s.subset, s.matches) for s in one.standings)]
        for rate, found in zip(FALSE_BOXES, froc(matches), strict=True)
    ]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(lines)
