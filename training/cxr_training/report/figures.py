"""The figures that the README and the results' page show, made from the published manifests.

`python -m cxr_training.report.figures` writes them between the two marks of each page; with
`--check` it fails where a page says something else.
"""

import argparse
import sys
from pathlib import Path

from cxr_contracts import Interval, MetricRow, TriageManifest
from cxr_serving.model_folder import choose_model, manifest_in
from cxr_training.export.publishing import read_manifest
from cxr_training.report.card import Headline, format_figure
from cxr_training.report.tables import format_percent

START, END = "<!-- figures: written by `make generate` -->", "<!-- end of figures -->"
# By the model's folder under `models/`, or that of several, of which the default is meant.
FIGURES = {
    "classifier/lite0-cxr": (
        Headline("mean AUROC over the findings", "auroc_mean"),
        Headline("the same, large files only", "auroc_mean", "source=large"),
        Headline("Pneumonia's AUROC, all files", "auroc", "Pneumonia"),
        Headline("Pneumonia's AUROC, large files only", "auroc", "Pneumonia/source=large"),
    ),
    "detector": (
        Headline("mAP50 over its kinds of region", "map50"),
        Headline("the same, over kinds with at least 20 boxes", "map50_frequent"),
        Headline("mAP50-95", "map50_95"),
        Headline("boxes found at one false box an image (FROC)", "froc_1"),
    ),
    "ood/ood-cxr": (
        Headline(
            "radiographs refused by mistake", "false_refusal_rate", "as published", percent=True
        ),
        Headline("AUROC, other medical images", "auroc", "real medical: all"),
        Headline("AUROC, photographs", "auroc", "real photograph: all"),
        Headline("AUROC, inverted, rotated, cut radiographs", "auroc", "corrupted radiograph: all"),
    ),
}


def headlines(models: Path) -> str:
    """What a stranger should know first, on test patients; KeyError if a manifest lacks it."""
    classifier = choose_model(models / "classifier")
    pair = f"{classifier.name}--{choose_model(models / 'detector').name}"
    triage = manifest_in(models / "triage" / pair, TriageManifest)
    test = {(x.name, x.subset): x for x in triage.metrics if x.split == "test"}
    auroc = next(
        x for x in read_manifest(classifier).metrics if (x.name, x.split) == ("auroc_mean", "test")
    )
    missed = test["share_of_immediate", "routine"]
    later = test["share_of_immediate", "soon"]
    false = test["share_of_no_finding", "urgent"]
    normal = test["share_of_verified_normal", "urgent"]
    return "\n".join(
        (
            f"- **Missed:** of {missed.n} images with a pneumothorax or edema, {_percent(missed)} "
            f"are called routine and {_percent(later)} soon instead of urgent.",
            f"- **False alarms:** of {false.n} images without a finding, {_percent(false)} are "
            f"called urgent; of {normal.n} that radiologists read as normal, {_percent(normal)}.",
            f"- **Telling findings apart:** a mean AUROC of {format_figure(auroc.result)} over the "
            f"findings on {auroc.n} images.",
        )
    )


def table(models: Path) -> str:
    """The figures as Markdown; KeyError if a manifest lacks one of them."""
    lines = [
        "| model | figure | on test patients | images | on validation patients | images |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for model, figures in FIGURES.items():
        folder = choose_model(models / model)
        name = folder.relative_to(models).as_posix()
        rows = {(x.name, x.subset, x.split): x for x in read_manifest(folder).metrics}
        for figure in figures:
            cells = [f"[{name}](../../models/{name}/MODEL_CARD.md)", figure.shown]
            for split in ("test", "validation"):
                row = rows.get((figure.metric, figure.subset, split))
                if row is None:
                    # Choices were made on validation patients, so their figures are always there.
                    if split == "validation":
                        raise KeyError(f"{name}: {figure.metric} of {figure.subset}")
                    cells += ["", ""]
                    continue
                shown = _share(row.result) if figure.percent else format_figure(row.result)
                cells += [shown, str(row.n)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


PAGES = {"README.md": headlines, "docs/results/README.md": table}


def with_figures(page: str, figures: str) -> str:
    """`page` with `figures` between its marks; ValueError if it has none."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page needs the marks {START} and {END}")
    return f"{before}{START}\n{figures}\n{END}{after}"


def main() -> int:
    """Write the pages' figures, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--root", type=Path, default=Path(), help="of the repository")
    options = parser.parse_args()
    for name, make in PAGES.items():
        page = options.root / name
        old = page.read_text()
        new = with_figures(old, make(options.root / "models"))
        if not options.check:
            page.write_text(new)
        elif new != old:
            print(f"{name} has other figures than the models: run make generate.")
            return 1
    return 0


def _share(result: Interval) -> str:
    """With two decimals: hardly a radiograph is refused by mistake."""
    return f"{result.value:.2%} ({result.low:.2%} to {result.high:.2%})"


def _percent(metric: MetricRow) -> str:
    return format_percent(metric.result)


if __name__ == "__main__":
    sys.exit(main())
