"""MODEL_CARD.md of a detector, made from its manifest: the card says nothing of its own."""

from collections.abc import Mapping
from typing import Any

from cxr_contracts import Architecture, MetricRow, ModelManifest
from cxr_detector.fused import is_fused
from cxr_training.data.annotations import SET_NAMES, sets_named
from cxr_training.detector.evaluation import IN_USE, is_calibrated
from cxr_training.report.card import OWN_DRAFT, SPLITS, Headline, model_card
from cxr_training.report.tables import format_interval, markdown_table, of_split

_HEADLINES = (
    Headline("mAP50", "map50"),
    Headline("mAP50 over kinds with at least 20 boxes", "map50_frequent"),
    Headline("mAP50-95", "map50_95"),
    Headline("mAP50, known classes only", "map50_known"),
    Headline("boxes found at 0.25 false boxes an image (FROC)", "froc_0.25"),
    Headline("boxes found at 0.5 false boxes an image", "froc_0.5"),
    Headline("boxes found at 1 false box an image", "froc_1"),
    Headline("boxes found at the thresholds below", "sensitivity"),
    Headline("right ones among the boxes above them", "precision"),
    Headline("false boxes an image above them", "false_boxes"),
)
_MEASURED = (
    "95% intervals from resampling patients. A box is found if one of its kind overlaps it with an "
    "IoU of at least 0.5. Thresholds were chosen on the same validation patients."
)
_REPORTED = (
    "On test patients, 95% intervals from resampling them. A box is found if one of its kind "
    "overlaps it with an IoU of at least 0.5. Thresholds were chosen on validation patients."
)
_BY_SOURCE = (
    "`side_px` is the size of the image file that was enlarged or shrunk to the input; `annotator` "
    "is who drew the boxes."
)
_NIHS_BOXES = (
    " NIH drew only a few of the findings of an image, so correct boxes of other kinds count as "
    "false there."
)
_FILE_SIZE = (
    "File size is a confounder: the large files are the diseased ones. So small images were "
    "enlarged, and the resolution of all was varied at random in training."
)
# Below this AP50 a kind of region is as good as not found.
_HARDLY_FOUND = 0.05


def render_card(manifest: ModelManifest) -> str:
    """The card as Markdown."""
    architecture, side_px = manifest.architecture, manifest.input.width_px
    fused, recipe = is_fused(architecture), manifest.training.recipe
    network = f"{network_name(architecture)} ({architecture.library}) at {side_px} x {side_px} px"
    is_own = bool(recipe.get("data", {}).get("regions"))
    by_source = _BY_SOURCE if is_own else _BY_SOURCE + _NIHS_BOXES
    sources = "\n".join(f"- {source}" for source in manifest.data.sources)
    learnt = _members(manifest) if fused else _training(manifest)
    measured = _REPORTED if _split_shown(manifest) == "test" else _MEASURED
    return model_card(
        manifest,
        what=f"Detects {len(manifest.labels)} kinds of suspicious region on frontal chest "
        f"radiographs: {'fused boxes of ' + ', '.join(recipe['members']) if fused else network}. "
        f"Licence: {manifest.licence}. Made {manifest.created_at}.",
        headlines=_HEADLINES,
        fails=[
            *OWN_DRAFT[:is_own],
            "Its boxes are few and often wrong, as the figures say; an image without a box does "
            "not mean a healthy patient.",
            *_hardly_found(manifest),
            *([] if is_own else [_FILE_SIZE]),
        ],
        sections={
            "Data": "\n\n".join([sources, *learnt]),
            **_what_scores_mean(manifest),
            "By kind of region": f"{measured}\n\n{_region_table(manifest)}",
            "By source": f"{by_source}\n\n{_source_table(manifest)}",
            "How it was made": f"`{manifest.training.command}`\n\nCommit "
            f"`{manifest.training.commit}`; the whole recipe is in `manifest.json`.",
        },
    )


def _what_scores_mean(manifest: ModelManifest) -> dict[str, str]:
    """What was measured of calibrated scores; nothing of a detector that has none."""
    if not is_calibrated(manifest):
        return {}
    rows = {(row.name, row.subset): row for row in manifest.metrics}
    lines = [
        [
            subset.removeprefix("probability ").replace(" to ", " - "),
            f"{rows['mean_probability', subset].result.value:.3f}",
            format_interval(row.result),
            str(row.n_positive),
        ]
        for (name, subset), row in rows.items()
        if name == "boxes_right"
    ]
    shown = {row.name: row.result for row in manifest.metrics if row.subset == IN_USE}
    said = (
        "The score that is shown is how likely a box is right, fitted on annotated validation "
        "radiographs and as many without a finding, and measured on patients whom the fit has not "
        "seen. Among them the thresholds find "
        f"{format_interval(shown['sensitivity'])} of the drawn boxes, with "
        f"{format_interval(shown['false_boxes'])} wrong boxes an image; "
        f"{format_interval(shown['precision'])} of what is shown is right, and "
        f"{format_interval(shown['clear_images_marked'])} of the images without a drawn box show "
        "one."
    )
    header = ["Said", "Mean of what is said", "Right", "Boxes"]
    return {"What a score means": f"{said}\n\n{markdown_table(header, lines)}"}


def network_name(architecture: Architecture) -> str:
    """Which network it is, e.g. `yolov5n`, or `yolov5n on tf_efficientnet_lite0`."""
    if is_fused(architecture):
        return "fused"
    backbone = architecture.arguments.get("backbone")
    return architecture.name if backbone is None else f"{architecture.name} on {backbone}"


def _hardly_found(manifest: ModelManifest) -> list[str]:
    missed = [
        _plain(row.subset)
        for row in _rows(manifest)
        if row.name == "ap50" and row.result.value < _HARDLY_FOUND
    ]
    return [f"Hardly found (AP50 below {_HARDLY_FOUND}): {', '.join(missed)}."] if missed else []


def _training(manifest: ModelManifest) -> list[str]:
    recipe, data = manifest.training.recipe, manifest.data
    if recipe.get("data", {}).get("regions"):
        return [
            f"{data.n_train:,} images to train on and {data.n_validation:,} to validate on, split "
            f"by patient (split sha256 `{data.split_sha256[:12]}`). An image without a box is one "
            "on which there is nothing to find."
        ]
    sets = sets_named(recipe.get("data", {}).get("sets", SET_NAMES))
    policy = (
        "A radiograph of both sets carries the boxes of both. No set marks every kind of region;"
        if len(sets) > 1
        else f"The boxes are those of {sets[0].title} alone, and so are the kinds of region;"
    )
    return [
        f"{data.n_train:,} radiographs to train on, {recipe['n_background']:,} of them without a "
        f"finding by NIH's labels, and {data.n_validation:,} to validate on, split by patient "
        f"(split sha256 `{data.split_sha256[:12]}`). {policy} a kind that nobody looked for on a "
        "radiograph trains nothing there.",
        *_pretrained(recipe),
    ]


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


def _region_table(manifest: ModelManifest) -> str:
    rows = {(row.name, row.subset): row for row in _rows(manifest)}
    lines = []
    for figure, subset, threshold in [
        *(("ap50", label.name, f"{label.threshold:.2f}") for label in manifest.labels),
        ("map50", "all", ""),
    ]:
        found = [rows.get((name, subset)) for name in (figure, f"{figure}_95")]
        cells = ["-" if row is None else format_interval(row.result) for row in found]
        boxes = "0" if found[0] is None else str(found[0].n_positive)
        lines.append([_plain(subset), *cells, boxes, threshold])
    return markdown_table(["Region", "AP50", "AP50-95", "Boxes", "Threshold"], lines)


def _source_table(manifest: ModelManifest) -> str:
    lines = [
        [row.subset, format_interval(row.result), str(row.n), str(row.n_positive)]
        for row in _rows(manifest)
        if "=" in row.subset
    ]
    return markdown_table(["Subset", "mAP50", "Images", "Boxes"], lines)


def _split_shown(manifest: ModelManifest) -> str:
    """The split whose figures the tables show: test patients' where they were measured."""
    found = {row.split for row in manifest.metrics}
    return next((split for split in SPLITS if split in found), SPLITS[-1])


def _rows(manifest: ModelManifest) -> list[MetricRow]:
    return of_split(manifest.metrics, _split_shown(manifest))


def _plain(region: str) -> str:
    return region.replace("_", " ")
