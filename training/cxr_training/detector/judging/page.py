"""README.md of the results folder: its tables come from the CSVs that stand beside it."""

from collections.abc import Sequence
from pathlib import Path

from cxr_contracts import Region
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE, SEED
from cxr_training.detector.judging.grounds import KNOWN, SHARED, SHARED_REGIONS
from cxr_training.detector.judging.joined import JoinedRow, of_detector
from cxr_training.detector.judging.judge import TOLERANCE, Judgement
from cxr_training.detector.judging.table import ModelLine, Results
from cxr_training.joining.judging import BASELINE, FROCS, MAP50
from cxr_training.report.tables import format_interval, markdown_table

PAGE = "README.md"
CURVES = "curves_{}"
_SETS = {"nih": "NIH", "chestx-det": "ChestX-Det"}
_GROUNDS = (("nih", "NIH's boxes"), ("chestx-det", "ChestX-Det's boxes"), ("both", "both"))
# The first sentences of a long comparison are enough to see what happened.
_SENTENCES = 40


def page(
    judgements: Sequence[Judgement],
    results: Results,
    folder: Path,
    differences: dict[str, list[str]],
) -> str:
    """The page, in Markdown.

    Args:
        judgements: for what the manifests say beyond their figures.
        results: what the CSVs say.
        folder: where parts written by other commands are looked for.
        differences: of each comparable model from its manifest.
    """
    parts = [
        "# Detectors on validation patients",
        *_provenance(judgements),
        "## All rows",
        _how_to_read(),
        _main_table(results),
        *_notes(results),
        "![mAP50 of each model with its interval](map50.png)",
        "![FROC curves](froc.png)",
        "As numbers: [figures.csv](figures.csv), [models.csv](models.csv), [froc.csv](froc.csv).",
        *_common_ground(results),
        *_by_region(results),
        *_models(results, folder),
        *_reproduction(judgements, differences),
    ]
    return "\n\n".join(parts) + "\n"


def _provenance(judgements: Sequence[Judgement]) -> list[str]:
    splits = dict.fromkeys(one.split_sha256 for one in judgements)
    return [
        "Written by `make evaluate-detector` (`python -m cxr_training.detector judge`): the "
        "published ONNX file of each model under `models/detector/`, run as the service runs it, "
        "on radiographs of validation patients. Every model is loaded by its name: "
        "`CXR_DETECTOR_MODEL=NAME make run`.",
        f"Split {', '.join(f'`{split}`' for split in splits)}: a model whose manifest names it was "
        "trained on none of these patients. 95% intervals: "
        f"{judgements[0].resamples} bootstrap resamples of the patients, seed {SEED}.",
    ]


def _how_to_read() -> str:
    return (
        "Each model on **its own** boxes and regions, as its manifest states: the films that its "
        "kind of boxes lie on, the regions that these mark. A row of eight regions and one of "
        "thirteen are therefore different tasks; [below](#common-ground) all are judged on the "
        "same. mAP50 is the mean over regions of the average precision at IoU 0.5; FROC the share "
        "of all boxes that is found at so many false boxes an image. Milliseconds are those of "
        "one image through the network on one thread (of a fused model through all of its "
        "networks, one after the other), ONNX Runtime (served) beside the same "
        "weights in eager PyTorch, taken in turns where this page was made."
    )


def _main_table(results: Results) -> str:
    header = ["model", "network", "whose boxes", "regions", "mAP50", "mAP50-95"]
    header += [f"FROC at {rate:g}" for rate in FALSE_BOXES_PER_IMAGE]
    header += ["films, boxes", "parameters", "ms, ONNX", "ms, PyTorch"]
    lines = []
    for line in results.models:
        lines.append(_own_row(line, results))
        lines += [_joined_row(row) for row in of_detector(results.joined, line.model, line.weights)]
    return markdown_table(header, lines)


def _own_row(line: ModelLine, results: Results) -> list[str]:
    row = results.row(line.model, "map50", "all")
    name = f"{line.model} {line.version}"
    return [
        f"**{name}** (default)" if line.default else name,
        f"{line.architecture}, {line.input_px} px" if line.input_px else line.architecture,
        " and ".join(_SETS[one] for one in line.boxes.split()),
        str(line.n_regions),
        results.cell(line.model, "map50", "all"),
        results.cell(line.model, "map50_95", "all"),
        *(results.cell(line.model, f"froc_{rate:g}", "all") for rate in FALSE_BOXES_PER_IMAGE),
        "-" if row is None else f"{row.n}, {row.n_positive}",
        f"{int(line.parameters) / 1e6:.2f} M",
        line.onnx_ms,
        line.torch_ms,
    ]


def _joined_row(row: JoinedRow) -> list[str]:
    if row.form == BASELINE:
        said = "- alone, known classes†"
    else:
        shipped = "" if row.is_shipped else ", not shipped"
        said = f"- joined with {row.classifier} (`{row.form}`{shipped})†"
    cells = [format_interval(row.figures[name]) for name in (MAP50, *FROCS)]
    return [said, "", "", "", cells[0], "-", *cells[1:], "", "", "", ""]


def _notes(results: Results) -> list[str]:
    if not any(of_detector(results.joined, line.model, line.weights) for line in results.models):
        return [
            "None of these weights has been joined with a classifier yet (`make fit-joining`; "
            "[joining](../joining/README.md))."
        ]
    return [
        "† With the classifier's opinion and without, on the annotated validation films and on "
        "known classes only, constants fitted to other patients: [joining](../joining/README.md). "
        "The two rows are comparable with each other, and not with the row above them."
    ]


def _common_ground(results: Results) -> list[str]:
    shared = ", ".join(region.value.replace("_", " ") for region in SHARED_REGIONS)
    return [
        "## Common ground",
        f"The same films and the same regions for every row: those that NIH boxed, with NIH's "
        f"boxes; those that ChestX-Det annotated, with its boxes; all, with both. The six regions "
        f"that both sets mark ({shared}) every model knows; a mean over all regions of a ground "
        "stands only where a model knows them all. Known classes only: NIH boxed one or two "
        "findings of a film, and what nobody looked for counts neither way "
        "([ADR 0006](../../adr/0006-unmarked-is-not-absent.md), "
        "[ADR 0013](../../adr/0013-detectors-on-common-ground.md)).",
        _ground_table(results, "map50_known"),
        "The share of boxes that is found at one false box an image, on the same films and "
        "regions:",
        _ground_table(results, "froc_1_known"),
        *_gain_table(results),
        "What stays unlike: NIH boxed one or two findings of a film, ChestX-Det's radiologists all "
        "thirteen kinds, and each in their own manner, so a model meets the hand that it learnt "
        "from on one ground and a stranger's on the other. The sets differ in size as well; how "
        "many films each model was trained on stands below.",
    ]


def _ground_table(results: Results, figure: str) -> str:
    header = ["model", "knows"]
    for ground, heading in _GROUNDS:
        header.append(f"{heading}: six regions")
        counts = {
            len(region_names)
            for line in results.models
            if (region_names := _judged_on(results, line.model, ground))
        }
        header.append(f"all {max(counts)}" if counts else "all regions")
    lines = []
    for line in results.models:
        cells = []
        for ground, _ in _GROUNDS:
            cells.append(results.cell(line.model, figure, f"boxes={ground}/classes={SHARED}"))
            cells.append(_all_cell(results, line.model, figure, ground))
        lines.append([line.model, str(line.n_regions), *cells])
    return markdown_table(header, lines)


def _all_cell(results: Results, model: str, figure: str, ground: str) -> str:
    known = results.row(model, figure, f"boxes={ground}/classes={KNOWN}")
    if known is not None:
        n = len(_judged_on(results, model, ground))
        return f"{format_interval(known.result)}, {n} of them"
    return results.cell(model, figure, f"boxes={ground}/classes=all")


def _judged_on(results: Results, model: str, ground: str) -> list[str]:
    """The regions of a ground that a model was judged on."""
    prefix = f"boxes={ground}/"
    return [
        row.subset.removeprefix(prefix)
        for row in results.figures[model]
        if row.name == "ap50_known" and row.subset.startswith(prefix)
    ]


def _gain_table(results: Results) -> list[str]:
    lines = []
    for line in results.models:
        cells = [
            _signed(results, line.model, ground, classes)
            for ground, _ in _GROUNDS
            for classes in (SHARED, "all")
        ]
        if set(cells) - {"-"}:
            lines.append([line.model, *cells])
    if not lines:
        return []
    header = ["mAP50 gained"]
    header += [f"{name}: {of}" for _, name in _GROUNDS for of in ("six", "all")]
    return [
        f"Over {results.reference}, on the same resamples of the patients. An interval beyond "
        "zero is a difference; two overlapping intervals above say nothing against one.",
        markdown_table(header, lines),
    ]


def _signed(results: Results, model: str, ground: str, classes: str) -> str:
    subset = f"boxes={ground}/classes={classes}/over={results.reference}"
    row = results.row(model, "map50_known_gain", subset)
    if row is None:
        return "-"
    return f"{row.result.value:+.3f} ({row.result.low:+.3f} to {row.result.high:+.3f})"


def _by_region(results: Results) -> list[str]:
    parts = ["## By region, on common ground", "AP50 over known classes, and the boxes there."]
    for ground, heading in _GROUNDS[:2]:
        lines = []
        for region in Region:
            subset = f"boxes={ground}/{region.value}"
            rows = [results.row(line.model, "ap50_known", subset) for line in results.models]
            counts = [str(row.n_positive) for row in rows if row is not None]
            if counts:
                cells = ["-" if row is None else format_interval(row.result) for row in rows]
                lines.append([region.value.replace("_", " "), counts[0], *cells])
        header = [heading, "boxes", *(line.model for line in results.models)]
        parts.append(markdown_table(header, lines))
    return parts


def _models(results: Results, folder: Path) -> list[str]:
    parts = ["## Model by model", "Each on its own boxes, everything counted."]
    for line in results.models:
        name = line.model
        parts += [
            f"### {name}",
            f"{_origin(line)} "
            f"[Card](../../../models/detector/{name}/MODEL_CARD.md).\n"
            f"- weights `{line.weights}`\n- ONNX `{line.onnx}`",
            _region_table(results, line),
            f"![precision and recall of each region](precision_recall_{name}.png)",
        ]
        curves = CURVES.format(name)
        if (folder / f"{curves}.png").exists():
            parts.append(f"![losses and figures by epoch]({curves}.png)")
    return parts


def _origin(line: ModelLine) -> str:
    if line.members:
        return f"The boxes of {', '.join(line.members.split())}, fused."
    return f"Trained on {line.trained_on} radiographs; start: {line.start or 'not said'}."


def _region_table(results: Results, line: ModelLine) -> str:
    header = ["region", "boxes", "AP50", "AP50-95"]
    header += [f"found at {rate:g} false" for rate in FALSE_BOXES_PER_IMAGE]
    lines = []
    for region in line.regions.split():
        row = results.row(line.model, "ap50", region)
        names = ["ap50", "ap50_95", *(f"froc_{rate:g}" for rate in FALSE_BOXES_PER_IMAGE)]
        cells = [results.cell(line.model, name, region) for name in names]
        count = "0" if row is None else str(row.n_positive)
        lines.append([region.replace("_", " "), count, *cells])
    return markdown_table(header, lines)


def _reproduction(judgements: Sequence[Judgement], differences: dict[str, list[str]]) -> list[str]:
    parts = [
        "## Against the manifests",
        "Every figure and threshold of a manifest was measured again; a value or an end of an "
        f"interval may differ by {TOLERANCE}.",
    ]
    for one in judgements:
        name = one.manifest.name
        if name not in differences:
            parts.append(f"{name}: judged as shipped, nothing to compare with.")
        elif not differences[name]:
            parts.append(f"{name}: all {len(one.manifest.metrics)} figures agree.")
        else:
            shown = [f"- {sentence}" for sentence in differences[name][:_SENTENCES]]
            if len(differences[name]) > _SENTENCES:
                shown.append(f"- and {len(differences[name]) - _SENTENCES} more")
            parts += [f"{name}: what does not agree.", "\n".join(shown)]
    return parts
