"""The README's table of figures, made from the published manifests.

`python -m cxr_training.report.figures` writes it between the two marks in README.md; with
`--check` it fails where the README says something else.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import MetricRow, ModelManifest
from cxr_serving.model_folder import choose_model
from cxr_training.export.publishing import read_manifest

START, END = "<!-- figures: written by `make generate` -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table: which row of which manifest, and how to show it.

    `model` is its folder under `models/`, or that of several, of which the default is meant.
    """

    model: str
    shown: str
    metric: str
    subset: str
    percent: bool = False


FIGURES = (
    Figure("classifier/lite0-nih14", "mean AUROC over the findings", "auroc_mean", "all"),
    Figure("classifier/lite0-nih14", "the same, large files only", "auroc_mean", "source=large"),
    Figure("classifier/lite0-nih14", "Pneumonia's AUROC, all files", "auroc", "Pneumonia"),
    Figure(
        "classifier/lite0-nih14",
        "Pneumonia's AUROC, large files only",
        "auroc",
        "Pneumonia/source=large",
    ),
    Figure("detector", "mAP50 over its kinds of region", "map50", "all"),
    Figure("detector", "mAP50-95", "map50_95", "all"),
    Figure("detector", "boxes found at one false box an image (FROC)", "froc_1", "all"),
    Figure(
        "ood/ood-cxr",
        "radiographs refused by mistake",
        "false_refusal_rate",
        "as published",
        True,
    ),
    Figure("ood/ood-cxr", "AUROC, other medical images", "auroc", "real medical: all"),
    Figure("ood/ood-cxr", "AUROC, photographs", "auroc", "real photograph: all"),
    Figure(
        "ood/ood-cxr",
        "AUROC, inverted, rotated, cut radiographs",
        "auroc",
        "corrupted radiograph: all",
    ),
)


def table(models: Path) -> str:
    """The figures as Markdown; KeyError if a manifest lacks one of them."""
    lines = ["| model | figure, on validation patients | value (95% interval) | images |"]
    lines.append("|---|---|--:|--:|")
    manifests: dict[str, ModelManifest] = {}
    for figure in FIGURES:
        folder = choose_model(models / figure.model)
        name = folder.relative_to(models).as_posix()
        manifest = manifests.setdefault(name, read_manifest(folder))
        row = _row(manifest, figure)
        label = f"[{name}](models/{name}/MODEL_CARD.md)"
        lines.append(f"| {label} | {figure.shown} | {_shown(row, figure)} | {row.n} |")
    return "\n".join(lines)


def with_table(readme: str, figures: str) -> str:
    """`readme` with `figures` between its marks; ValueError if it has none."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the README needs the marks {START} and {END}")
    return f"{before}{START}\n{figures}\n{END}{after}"


def main() -> int:
    """Write the README's table, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    options = parser.parse_args()
    old = options.readme.read_text()
    new = with_table(old, table(options.models))
    if not options.check:
        options.readme.write_text(new)
    elif new != old:
        print("The README's figures are not those of the models: run make generate.")
        return 1
    return 0


def _row(manifest: ModelManifest, figure: Figure) -> MetricRow:
    for row in manifest.metrics:
        if (row.name, row.subset, row.split) == (figure.metric, figure.subset, "validation"):
            return row
    raise KeyError(f"{manifest.name} has no figure {figure.metric} of {figure.subset}")


def _shown(row: MetricRow, figure: Figure) -> str:
    result = row.result
    if figure.percent:
        return f"{result.value:.2%} ({result.low:.2%} to {result.high:.2%})"
    # Three decimals, but never a 1.000 that is not one.
    digits = 4 if 0.9995 <= result.value < 1 else 3
    value, low, high = (f"{x:.{digits}f}" for x in (result.value, result.low, result.high))
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
