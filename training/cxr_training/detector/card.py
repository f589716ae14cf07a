"""MODEL_CARD.md of a detector, made from its manifest: the card says nothing of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_contracts import Architecture, MetricRow, ModelManifest
from cxr_detector.fused import is_fused
from cxr_training.data.annotations import SET_NAMES, sets_named
from cxr_training.report.tables import format_interval, markdown_table

_TITLES = {
    "map50": "mAP50",
    "map50_95": "mAP50-95",
    "map50_known": "mAP50, known classes only",
    "froc_0.25": "Sensitivity at 0.25 false boxes an image",
    "froc_0.5": "Sensitivity at 0.5 false boxes an image",
    "froc_1": "Sensitivity at 1 false box an image",
    "sensitivity": "Sensitivity at the thresholds below",
    "precision": "Precision at the thresholds below",
    "false_boxes": "False boxes an image at the thresholds below",
}
# Below this AP50 a kind of region is as good as not found.
_HARDLY_FOUND = 0.05


def write_card(manifest: ModelManifest, path: Path) -> None:
    """Write the card of `manifest`."""
    path.write_text(render_card(manifest))


def render_card(manifest: ModelManifest) -> str:
    """The card as Markdown."""
    overall = [row for row in manifest.metrics if row.subset == "all"]
    subsets = [row for row in manifest.metrics if "=" in row.subset]
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"Detects {len(manifest.labels)} kinds of suspicious region on frontal chest radiographs: "
        f"{_network(manifest)}. Licence: {manifest.licence}. Made {manifest.created_at}.",
        "**Research use, not a medical device.** Its boxes are few and often wrong, as the "
        "figures below say; an image without a box does not mean a healthy patient.",
        *_summary(manifest),
        "## Data",
        "\n".join(f"- {source}" for source in manifest.data.sources),
        *(_members(manifest) if is_fused(manifest.architecture) else _training(manifest)),
        "## On validation patients",
        "95% intervals from resampling patients. A box is found if one of its kind overlaps it "
        "with an IoU of at least 0.5. Thresholds were chosen on the same patients.",
        _table("Figure", overall, [_TITLES.get(row.name, row.name) for row in overall]),
        "### By kind of region",
        _label_table(manifest),
        "### By source",
        "`side_px` is the size of the image file that was enlarged or shrunk to the input; "
        "`annotator` is who drew the boxes. NIH drew only a few of the findings of an image, so "
        "correct boxes of other kinds count as false there.",
        _table("Subset", subsets, [row.subset for row in subsets], value="mAP50"),
        "## How it was made",
        f"`{manifest.training.command}`",
        f"Commit `{manifest.training.commit}`; the whole recipe is in `manifest.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def network_name(architecture: Architecture) -> str:
    """Which network it is, e.g. `yolov5n`, or `yolov5n on tf_efficientnet_lite0`."""
    if is_fused(architecture):
        return "fused"
    backbone = architecture.arguments.get("backbone")
    return architecture.name if backbone is None else f"{architecture.name} on {backbone}"


def _summary(manifest: ModelManifest) -> list[str]:
    """How good it is and where it fails, in two sentences."""
    figures = {row.name: row.result for row in manifest.metrics if row.subset == "all"}
    if not {"map50", "froc_1"} <= figures.keys():
        return []
    by_region = sorted(
        (row for row in manifest.metrics if row.name == "ap50"),
        key=lambda row: -row.result.value,
    )
    best = [f"{_plain(row.subset)} ({row.result.value:.2f})" for row in by_region[:3]]
    missed = [_plain(row.subset) for row in by_region if row.result.value < _HARDLY_FOUND]
    good = (
        f"On validation patients its mAP50 is {format_interval(figures['map50'])}, and it finds "
        f"{figures['froc_1'].value:.0%} of all boxes at one false box an image. "
        f"Best by AP50: {', '.join(best)}."
    )
    return [f"{good} Hardly found: {', '.join(missed)}." if missed else good]


def _network(manifest: ModelManifest) -> str:
    architecture, side = manifest.architecture, manifest.input.width_px
    if is_fused(architecture):
        return f"the fused boxes of {_listed(manifest.training.recipe['members'])}"
    return f"{network_name(architecture)} ({architecture.library}) at {side} x {side} px"


def _training(manifest: ModelManifest) -> list[str]:
    recipe, data = manifest.training.recipe, manifest.data
    return [
        f"{data.n_train:,} radiographs to train on, {recipe['n_background']:,} of them without a "
        f"finding by NIH's labels, and {data.n_validation:,} to validate on, split by patient "
        f"(split sha256 `{data.split_sha256[:12]}`). {_box_policy(recipe)} a kind that "
        "nobody looked for on a radiograph trains nothing there.",
        *_pretrained(recipe),
        "File size is a confounder: the large files are the diseased ones. So small images were "
        "enlarged, and the resolution of all was varied at random.",
    ]


def _members(manifest: ModelManifest) -> list[str]:
    """What is said of a detector that was made of others."""
    recipe, arguments = manifest.training.recipe, manifest.architecture.arguments
    cards = [f"[{one}](../{one.split()[0]}/MODEL_CARD.md)" for one in recipe["members"]]
    return [
        f"Nothing was trained for it. Its detectors have cards of their own: {', '.join(cards)}. "
        f"Boxes of one kind that overlap with an IoU above {arguments['iou']:g} become one, "
        "their mean weighted by their scores; its score is the sum of theirs over the number of "
        "detectors, so one without the box counts as zero (weighted boxes fusion, Solovyev "
        "et al. 2021).",
        f"Evaluated on {manifest.data.n_validation:,} radiographs of patients on whom none of "
        f"them was trained (split sha256 `{manifest.data.split_sha256[:12]}`).",
    ]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _plain(region: str) -> str:
    return region.replace("_", " ")


def _box_policy(recipe: Mapping[str, Any]) -> str:
    # The first recipes took both sets and did not say so.
    sets = sets_named(recipe.get("data", {}).get("sets", SET_NAMES))
    if len(sets) > 1:
        return (
            "A radiograph of several sets carries the boxes of all. No set marks every kind of "
            "region;"
        )
    return f"The boxes are those of {sets[0].title} alone, and so are the kinds of region;"


def _pretrained(recipe: Mapping[str, Any]) -> list[str]:
    facts = recipe.get("pretrained")
    if facts is None:
        return []
    learnt = (
        "Before the boxes, the layers before the neck learnt NIH's labels (except Pneumonia's) of "
        f"{facts['n_train']:,} radiographs of training patients in {facts['epochs_run']} epochs"
    )
    # Among a few images there may be no label that some have and some have not.
    if facts["mean_auroc"] is None:
        return [f"{learnt}."]
    return [
        f"{learnt}; with a linear layer on them, the mean AUROC on {facts['n_validation']:,} "
        f"radiographs of validation patients was {facts['mean_auroc']:.3f}."
    ]


def _table(
    first: str, rows: Sequence[MetricRow], names: Sequence[str], value: str = "Value"
) -> str:
    lines = [
        [name, format_interval(row.result), str(row.n), str(row.n_positive)]
        for name, row in zip(names, rows, strict=True)
    ]
    return markdown_table([first, value, "Images", "Boxes"], lines)


def _label_table(manifest: ModelManifest) -> str:
    rows = {(row.name, row.subset): row for row in manifest.metrics}
    lines = []
    for label in manifest.labels:
        ap50, ap = rows.get(("ap50", label.name)), rows.get(("ap50_95", label.name))
        lines.append(
            [
                _plain(label.name),
                format_interval(ap50.result) if ap50 else "-",
                format_interval(ap.result) if ap else "-",
                str(ap50.n_positive) if ap50 else "0",
                f"{label.threshold:.2f}",
            ]
        )
    return markdown_table(["Region", "AP50", "AP50-95", "Boxes", "Threshold"], lines)
