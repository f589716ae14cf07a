"""`docs/results/joining`: the forms side by side, as CSV, as a plot and as a page."""

import csv
from pathlib import Path

import matplotlib as mpl

from cxr_contracts import JoiningManifest, MetricRow, Region
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE
from cxr_training.joining.fitting import (
    ALL,
    ANNOTATED,
    JOINED_THRESHOLDS,
    OWN_THRESHOLDS,
    PERFECT,
    REACHED,
    value_of,
)
from cxr_training.joining.forms import FORMS
from cxr_training.joining.judging import BASELINE, FROCS, LOG_LOSS, MAP50
from cxr_training.report.tables import format_interval, markdown_table

COMMAND = "make fit-joining"
CSV_NAME = "joining.csv"
# Columns that say what the figures are of; `weights` holds the first digits of the sha256.
DETECTOR, WEIGHTS, SHIPPED = "detector", "weights", "shipped"
_SHA_DIGITS = 12
_FIGURES = (MAP50, *FROCS, LOG_LOSS)
_HEADINGS = [
    "mAP50",
    *(f"FROC at {rate:g}" for rate in FALSE_BOXES_PER_IMAGE),
    "log loss",
]
_SHAPES = {
    "detector": "the detector's own score",
    "calibrated": "its score calibrated, without the classifier",
    "pool": "weighted mean of both logits",
    "lifted": "its own odds, moved by what the classifier says beyond the usual",
    "shared": "calibrated sum of both logits, one weight for all regions",
    "regional": "the same with weights of each region, shrunk to the shared ones",
}
_OPERATING = {
    "sensitivity": "drawn boxes that are found",
    "precision": "shown boxes that are right",
    "false_boxes": "wrong boxes an image",
    "clear_films_marked": "films without a drawn box that show one",
}


def write_results(manifest: JoiningManifest, n_annotated: int, folder: Path) -> None:
    """Write `joining.csv`, `joining.png` and `README.md`.

    Args:
        manifest: of what is shipped; its figures are those of all forms.
        n_annotated: how many of its radiographs are annotated.
        folder: where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = [manifest.classifier.name, manifest.detector.name]
    said += [manifest.detector.sha256[:_SHA_DIGITS], manifest.fit.form]
    with (folder / CSV_NAME).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        columns = ["classifier", DETECTOR, WEIGHTS, SHIPPED]
        columns += ["figure", "of", "split", "value", "low", "high", "n", "n_positive"]
        writer.writerow(columns)
        for row in manifest.metrics:
            result = row.result
            numbers = (result.value, result.low, result.high)
            figure = [row.name, row.subset, row.split, *numbers, row.n, row.n_positive]
            writer.writerow([*said, *figure])
    _draw(manifest.metrics, manifest.fit.form, folder / "joining.png")
    (folder / "README.md").write_text(page(manifest, n_annotated))


def page(manifest: JoiningManifest, n_annotated: int) -> str:
    """The README."""
    data, form = manifest.data, manifest.fit.form
    models = (
        f"{manifest.classifier.name} {manifest.classifier.version} and "
        f"{manifest.detector.name} {manifest.detector.version}"
    )
    shipped = (
        "**Nothing is shipped**: no form is better than the detector alone."
        if form == BASELINE
        else f"**Shipped: `{form}`** ({_SHAPES[form]})."
    )
    if form != manifest.fit.rule_form:
        shipped += f" It was asked for; the rule takes `{manifest.fit.rule_form}`."
    return "\n".join(
        [
            "# Boxes joined with the classifier's opinion",
            "",
            f"Made by `{COMMAND}` with {models}; `joining.csv` holds every figure. Validation",
            f"patients only: {data.n_images} films of {data.n_patients} patients, {data.n_boxes}"
            " boxes.",
            f"{n_annotated} films are annotated; {data.n_images - n_annotated} without a finding"
            " are added in equal shares of every file size, because a",
            "joining is to help on ordinary films as well. Each figure is of patients whom the"
            f" constants had not seen ({manifest.fit.folds} folds),",
            "with a 95% interval over resampled patients; a class that nobody looked for on a film"
            " counts for nothing there.",
            "FROC: the share of all boxes that is found at so many false boxes an image. Log loss:"
            " how well the score says how likely",
            "a box is to be right, lower is better.",
            "",
            f"{shipped} The rule and the forms: [ADR 0008](../../../adr/0008-joined-boxes.md).",
            "",
            "![mAP50 and FROC of each form](joining.png)",
            "",
            *_section("All films", manifest.metrics, ALL),
            *_section("Annotated films only", manifest.metrics, ANNOTATED),
            *_operating(manifest.metrics),
            *_classes(manifest),
            *_limits(),
        ]
    )


def _section(title: str, metrics: list[MetricRow], films: str) -> list[str]:
    rows = [
        [
            f"`{form}`: {_SHAPES[form]}",
            *(
                format_interval(value_of(metrics, name, f"{form}, {films}").result)
                for name in _FIGURES
            ),
        ]
        for form in FORMS
    ]
    gains = [
        [
            f"`{form}`",
            *(_signed(value_of(metrics, f"{name}_gain", f"{form}, {films}")) for name in _FIGURES),
        ]
        for form in FORMS
        if form != BASELINE
    ]
    return [
        f"## {title}",
        "",
        markdown_table(["form", *_HEADINGS], rows),
        "",
        "Gain over the detector alone, on the same resamples:",
        "",
        markdown_table(["form", *_HEADINGS], gains),
        "",
    ]


def _operating(metrics: list[MetricRow]) -> list[str]:
    measured = {row.subset for row in metrics}
    subsets = [one for one in (OWN_THRESHOLDS, JOINED_THRESHOLDS) if one in measured]
    rows = [
        [shown, *(_cell(metrics, name, one) for one in subsets)]
        for name, shown in _OPERATING.items()
    ]
    return ["## What is shown", "", markdown_table(["all films", *subsets], rows), ""]


def _cell(metrics: list[MetricRow], name: str, subset: str) -> str:
    """A dash for a figure that is not defined: where nothing is shown, no share of it is right."""
    try:
        return format_interval(value_of(metrics, name, subset).result)
    except KeyError:
        return "-"


def _classes(manifest: JoiningManifest) -> list[str]:
    metrics, forms = manifest.metrics, dict.fromkeys((BASELINE, manifest.fit.form, PERFECT))
    counts = {one.region: one.n_boxes for one in manifest.regions}
    drawn = {row.subset for row in metrics if row.name == "ap50_known"}
    rows = [
        [
            region.value.replace("_", " "),
            str(counts[region]),
            *(
                format_interval(value_of(metrics, "ap50_known", f"{form}, {region.value}").result)
                for form in forms
            ),
            format_interval(value_of(metrics, REACHED, region.value).result),
        ]
        for region in Region
        if f"{BASELINE}, {region.value}" in drawn
    ]
    header = ["region", "boxes", *(f"AP50, `{form}`" for form in forms), "reached"]
    return [
        "## By region, all films",
        "",
        f"`{PERFECT}`: the same boxes if it were known which films have their class, and no more;",
        f"its mAP50 is {_value(metrics, MAP50, f'{PERFECT}, {ALL}')} on all films and"
        f" {_value(metrics, MAP50, f'{PERFECT}, {ANNOTATED}')} on the annotated ones.",
        "*Reached*: the share of drawn boxes that some box hits, however low its score, the most"
        " that any order could find:",
        f"{_value(metrics, REACHED, ALL)} of all.",
        "",
        markdown_table(header, rows),
        "",
    ]


def _value(metrics: list[MetricRow], name: str, subset: str) -> str:
    return format_interval(value_of(metrics, name, subset).result)


def _limits() -> list[str]:
    return [
        "## Limits",
        "",
        "- The form was chosen, and the thresholds were, on the patients of these tables; expect"
        " somewhat less on others.",
        "- The classifier's calibration was fitted on validation patients, too.",
        "- On a film that only NIH annotated, a region is known to be absent where NIH's label is"
        " negative, and the classifier learnt from such labels. On ChestX-Det's films radiologists"
        " looked.",
        "",
    ]


def _signed(row: MetricRow) -> str:
    result = row.result
    return f"{result.value:+.3f} ({result.low:+.3f} to {result.high:+.3f})"


def _draw(metrics: list[MetricRow], shipped: str, path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(_FIGURES), figsize=(12, 2.6), sharey=True, layout="constrained"
    )
    forms = list(FORMS)
    for panel, name, heading in zip(panels, _FIGURES, _HEADINGS, strict=True):
        for position, form in enumerate(forms):
            for offset, films, colour in ((-0.15, ALL, "C0"), (0.15, ANNOTATED, "C1")):
                result = value_of(metrics, name, f"{form}, {films}").result
                y = position + offset
                panel.plot([result.low, result.high], [y, y], color=colour, lw=3, alpha=0.4)
                panel.plot(result.value, y, "o", color=colour, ms=5, label=films)
        panel.set_title(heading, fontsize=9)
        panel.grid(axis="x", alpha=0.3)
    names = [f"{form} (shipped)" if form == shipped != BASELINE else form for form in forms]
    panels[0].set_yticks(range(len(forms)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles[:2], labels[:2], fontsize=8, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110)
    plt.close(figure)
