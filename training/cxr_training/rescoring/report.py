"""`docs/results/rescoring`: a pair's boxes with and without rescoring, as CSV and as a page."""

import csv
from pathlib import Path

from cxr_contracts import Interval, Region, RescoringManifest
from cxr_training.detector.evaluation import FALSE_BOXES_PER_IMAGE
from cxr_training.report.tables import format_interval, markdown_table
from cxr_training.rescoring.evaluation import (
    ALL,
    ANNOTATED,
    BASELINE,
    DETECTOR_THRESHOLDS,
    FORMS,
    FROCS,
    LIFTED,
    LOG_LOSS,
    MAP50,
    RESCORED_THRESHOLDS,
)
from cxr_training.rescoring.predictions import Predictions

CSV_NAME = "rescoring.csv"
_FIGURES = {
    MAP50: "mAP50",
    **{name: f"FROC at {rate:g}" for name, rate in zip(FROCS, FALSE_BOXES_PER_IMAGE, strict=True)},
    LOG_LOSS: "log loss",
}
_OPERATING = {
    "sensitivity": "drawn boxes found",
    "precision": "shown boxes that are right",
    "false_boxes": "wrong boxes an image",
    "clear_images_marked": "images without a drawn box that show one",
}


Results = dict[tuple[str, str], Interval]


def write_results(manifest: RescoringManifest, predictions: Predictions, folder: Path) -> None:
    """Write `rescoring.csv` and `README.md`.

    Args:
        manifest: of the rescoring, with the figures to write.
        predictions: from which these were made.
        folder: where to.
    """
    metrics = manifest.metrics
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / CSV_NAME).open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["figure", "of", "split", "value", "low", "high", "n", "n_positive"])
        for row in metrics:
            result = row.result
            numbers = (result.value, result.low, result.high)
            writer.writerow([row.name, row.subset, row.split, *numbers, row.n, row.n_positive])
    (folder / "README.md").write_text(_page(manifest, predictions))


def _page(manifest: RescoringManifest, predictions: Predictions) -> str:
    results: Results = {(row.name, row.subset): row.result for row in manifest.metrics}
    classifier, detector = manifest.classifier, manifest.detector
    n, n_annotated = len(predictions.patients), int(predictions.annotated.sum())
    split = manifest.metrics[0].split
    parts = [
        "# Boxes rescored with the classifier's probability",
        f"{classifier.name} {classifier.version} and {detector.name} {detector.version} on {split} "
        f"patients; [{CSV_NAME}]({CSV_NAME}) holds every figure. {n_annotated} images are "
        f"annotated; {n - n_annotated} without a finding are added in equal shares of every file "
        "size, because a rescoring is to help on ordinary images as well. "
        + _how_measured(manifest, split),
        "95% intervals over resampled patients; a class that nobody looked for on an image counts "
        "neither way. FROC: the share of all boxes found at so many false boxes an image. Log "
        "loss: how well the score says how likely a box is right, lower is better. The rule: "
        "[ADR 0008](../../../adr/0008-rescored-boxes.md).",
    ]
    for title in (ALL, ANNOTATED):
        lines = [
            [form, *(_cell(results, name, f"{form}, {title}") for name in _FIGURES)]
            for form in FORMS
        ]
        gains = (f"{name}_gain" for name in _FIGURES)
        lines.append(["gain", *(_signed(results, gain, f"{LIFTED}, {title}") for gain in gains)])
        header = ["scores", *_FIGURES.values()]
        parts += [f"## {title.capitalize()}", markdown_table(header, lines)]
    subsets = [DETECTOR_THRESHOLDS, RESCORED_THRESHOLDS]
    shown = [
        [title, *(_cell(results, name, subset) for subset in subsets)]
        for name, title in _OPERATING.items()
    ]
    regions = [
        [
            region.value.replace("_", " "),
            *(_cell(results, "ap50_known", f"{form}, {region.value}") for form in FORMS),
        ]
        for region in Region
        if ("ap50_known", f"{BASELINE}, {region.value}") in results
    ]
    parts += [
        "## What is shown",
        markdown_table([ALL, *subsets], shown),
        "## By region, all images",
        markdown_table(["region", *(f"AP50, {form}" for form in FORMS)], regions),
    ]
    return "\n\n".join(parts) + "\n"


def _how_measured(manifest: RescoringManifest, split: str) -> str:
    if split != manifest.data.split:
        return "The constants and thresholds are those published, fitted to validation patients."
    return (
        f"The constants of each figure were fitted to other patients ({manifest.fit.folds} folds); "
        "the thresholds were chosen on the patients of these tables, so expect somewhat less on "
        "others."
    )


def _cell(results: Results, name: str, subset: str) -> str:
    """A dash for a figure that is not defined: where nothing is shown, no share of it is right."""
    result = results.get((name, subset))
    return "-" if result is None else format_interval(result)


def _signed(results: Results, name: str, subset: str) -> str:
    result = results[name, subset]
    return f"{result.value:+.3f} ({result.low:+.3f} to {result.high:+.3f})"
