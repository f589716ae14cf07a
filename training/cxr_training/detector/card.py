"""MODEL_CARD.md of a detector, made from its manifest: the card says nothing of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_contracts import Architecture, MetricRow, ModelManifest
from cxr_detector.fused import is_fused
from cxr_training.report.tables import format_interval, markdown_table

_TITLES = {
    "map50": "mAP50",
    "map50_95": "mAP50-95",
    "map50_ultralytics": "mAP50 by Ultralytics' own validator",
    "map50_known": "mAP50, known classes only",
    "froc_0.25": "Sensitivity at 0.25 false boxes an image",
    "froc_0.5": "Sensitivity at 0.5 false boxes an image",
    "froc_1": "Sensitivity at 1 false box an image",
    "sensitivity": "Sensitivity at the thresholds below",
    "precision": "Precision at the thresholds below",
    "false_boxes": "False boxes an image at the thresholds below",
}


def write_card(manifest: ModelManifest, path: Path) -> None:
    """Write the card of `manifest`."""
    path.write_text(render_card(manifest))


def render_card(manifest: ModelManifest) -> str:
    """The card as Markdown."""
    overall = [row for row in manifest.metrics if row.subset == "all"]
    subsets = [row for row in manifest.metrics if "=" in row.subset]
    parts = [
        f"# {manifest.name} {manifest.version}",
        f"A detector of {len(manifest.labels)} kinds of suspicious region on frontal chest "
        f"radiographs: {_network(manifest)}. Licence: {manifest.licence}. "
        f"Made {manifest.created_at}.",
        "**Research use, not a medical device.** Its boxes are few and often wrong, as the "
        "figures below say; an empty picture does not mean a healthy patient.",
        "## Data",
        "\n".join(f"- {source}" for source in manifest.data.sources),
        *(_members(manifest) if is_fused(manifest.architecture) else _training(manifest)),
        "## On validation patients",
        "95% intervals from resampling patients. A box is found if one of its kind overlaps it "
        "with an IoU of at least 0.5. Thresholds were chosen on the same patients.",
        _table(["Figure", "Value", "Images", "Boxes"], overall, by_name=True),
        "### By kind of region",
        _label_table(manifest),
        "### By source",
        "`side_px` is the size of the image file that was enlarged or shrunk to the input; "
        "`annotator` is who drew the boxes. NIH drew only a few of the findings of an image, so "
        "that right boxes of other kinds count as false there.",
        _table(["Subset", "mAP50", "Images", "Boxes"], subsets, by_name=False),
        "## How it came about",
        f"`{manifest.training.command}`",
        f"Commit `{manifest.training.commit}`; the whole recipe stands in `manifest.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def _network(manifest: ModelManifest) -> str:
    architecture, side = manifest.architecture, manifest.input.width_px
    if is_fused(architecture):
        return f"the boxes of {_listed(manifest.training.recipe['members'])}, fused"
    return f"{network_name(architecture)} ({architecture.library}) at {side} x {side} px"


def _training(manifest: ModelManifest) -> list[str]:
    recipe = manifest.training.recipe
    return [
        f"{manifest.data.n_train:,} radiographs to train on (of them "
        f"{recipe['n_background']:,} without a finding, by NIH's labels{_labelled(recipe)}) and "
        f"{manifest.data.n_validation:,} to judge on, split by patient "
        f"(split sha256 `{manifest.data.split_sha256[:12]}`). {_box_policy(recipe)} a kind that "
        "nobody looked for on a radiograph trains nothing there.",
        *_pretrained(recipe),
        "Small source images were enlarged and the sharpness of all was varied at random, because "
        "in the part of the data that was used, the large images are the diseased ones.",
    ]


def _members(manifest: ModelManifest) -> list[str]:
    """What is said of a detector that was made of others."""
    recipe, arguments = manifest.training.recipe, manifest.architecture.arguments
    return [
        "Nothing was trained for it. Each of its detectors reads a film in its own way, and is "
        "described by the card in its own folder: "
        + ", ".join(f"[{one}](../{one.split()[0]}/MODEL_CARD.md)" for one in recipe["members"])
        + f". Boxes of one kind that overlap with an IoU above {arguments['iou']:g} become one, "
        "their mean weighted by their scores; its score is the sum of theirs over the number of "
        "detectors, so that one without the box counts as zero (weighted boxes fusion, Solovyev "
        "et al. 2021).",
        f"Judged on {manifest.data.n_validation:,} radiographs of patients on whom none of them "
        f"was trained (split sha256 `{manifest.data.split_sha256[:12]}`).",
    ]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def network_name(architecture: Architecture) -> str:
    """Which network it is, e.g. `yolov5n`, or `yolov5n on tf_efficientnet_lite0`."""
    if is_fused(architecture):
        return "fused"
    trunk = architecture.arguments.get("backbone")
    return architecture.name if trunk is None else f"{architecture.name} on {trunk}"


def _box_policy(recipe: dict[str, Any]) -> str:
    # The recipes before there was a choice took both sets.
    sets = recipe.get("data", {}).get("sets", ["nih", "chestx-det"])
    if len(sets) > 1:
        return (
            "Radiographs of both sets carry the boxes of both. Neither set marks every kind of "
            "region;"
        )
    annotators = {"nih": "NIH", "chestx-det": "ChestX-Det"}[sets[0]]
    return f"The boxes are those of {annotators} alone, and so are the kinds of region;"


def _labelled(recipe: Mapping[str, Any]) -> str:
    count = recipe.get("n_labelled", 0)
    return f", and {count:,} with these labels alone" if count else ""


def _pretrained(recipe: dict[str, Any]) -> list[str]:
    facts = recipe.get("pretrained")
    if facts is None:
        return []
    learned = (
        f"Before the boxes, the layers before the neck learned NIH's labels (Pneumonia's aside) of "
        f"{facts['n_train']:,} radiographs of training patients in {facts['epochs_run']} epochs"
    )
    # Among a few images there may be no label that some have and some have not.
    if facts["mean_auroc"] is None:
        return [f"{learned}."]
    return [
        f"{learned}; with a linear layer on them, the mean AUROC on {facts['n_validation']:,} "
        f"radiographs of validation patients was {facts['mean_auroc']:.3f}."
    ]


def _table(header: list[str], rows: list[MetricRow], *, by_name: bool) -> str:
    lines = [
        [
            _TITLES.get(row.name, row.name) if by_name else row.subset,
            format_interval(row.result),
            str(row.n),
            str(row.n_positive),
        ]
        for row in rows
    ]
    return markdown_table(header, lines)


def _label_table(manifest: ModelManifest) -> str:
    rows = {(row.name, row.subset): row for row in manifest.metrics}
    lines = []
    for label in manifest.labels:
        ap50, ap = rows.get(("ap50", label.name)), rows.get(("ap50_95", label.name))
        lines.append(
            [
                label.name,
                format_interval(ap50.result) if ap50 else "-",
                format_interval(ap.result) if ap else "-",
                str(ap50.n_positive) if ap50 else "0",
                f"{label.threshold:.2f}",
            ]
        )
    return markdown_table(["Region", "AP50", "AP50-95", "Boxes", "Threshold"], lines)
