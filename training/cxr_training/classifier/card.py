"""MODEL_CARD.md, made from the manifest alone."""

from typing import Any

from cxr_contracts import ModelManifest
from cxr_training.classifier.tables import (
    Figures,
    label_table,
    map_tables,
    paragraphs,
    resolution_table,
    sensitivity_tables,
    shortcut_sentence,
    subgroup_table,
)

SUBGROUP_TEXT = (
    "Means are over the findings with enough positives in the subgroup; a gap is the mean less "
    "that of the same findings over all images. The last column counts every marked finding, so "
    "that common ones weigh more. A subgroup in which no finding has enough positives shows "
    "dashes: nothing is known of it, which is not the same as no difference. Of twenty intervals "
    "of no difference one misses zero by chance."
)
RESOLUTION_TEXT = (
    "The same images by the size of their files, and all images brought down to the smallest "
    "size first. A network that read sharpness would lose here."
)
_LIMITS = """\
- The labels were mined from reports by text and are about 90% right (Wang et al. 2017); the
  figures above inherit that ceiling.
- One hospital, 1992 to 2015, adults for the most part, PA and AP views, images stretched to a
  square. Other scanners, children and lateral views were not seen. An AP film is mostly taken at
  the bedside, of sicker patients: a difference between views is one between patients, too.
- Network input is {width_px} px a side: small nodules, fine lines and small pneumothoraces
  can be invisible to it whatever the size of the upload.
- Pneumonia stands almost only on the large source images. Training brings every image to one
  size and randomises its sharpness (and see above from which images it is learned); read the
  row `source=large`, not the row over all images.
- Hernia, Fibrosis, Emphysema and Edema are rare: look at the number of positives before the
  figure. Calibration holds for the prevalence of the validation patients.
- Epoch, calibration and thresholds were chosen on the validation patients. Calibration error,
  sensitivity and specificity are cross-fitted over patients; AUROC is not affected by them.
  The bootstrap of a calibration error leans upward, so its interval lies mostly above it.
- A class activation map shows where the evidence lies on a coarse grid; it is not a contour.
- Failures are not shown as pictures: they would be radiographs of patients, which this project
  does not redistribute. The tables of sensitivity say which findings are missed, and in whom."""


def model_card(manifest: ModelManifest) -> str:
    """The card, in Markdown."""
    figures = Figures(manifest.metrics)
    rules = {label.name: label.threshold_rule for label in manifest.labels}
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "**For research use. Not a medical device; not for diagnosis.**",
        f"A classifier of {len(manifest.labels)} findings on frontal chest radiographs: "
        f"{_mean_of(manifest)}`{manifest.architecture.name}` ({manifest.architecture.library}) at "
        f"{manifest.input.width_px} x {manifest.input.height_px} px, one grey channel. Each "
        "finding comes with a class activation map whose mean is its logit. "
        f"Licence: {manifest.licence}. Published {manifest.created_at}.",
        "## Intended use",
        "Research and teaching on adult frontal chest radiographs, read by somebody who knows "
        "that the answers can be wrong. It orders findings by probability; it does not replace "
        "a reading.",
        "## Data",
        f"{'; '.join(manifest.data.sources)}. {manifest.data.n_train} images to train on, "
        f"{manifest.data.n_validation} to validate on, no patient in both (split "
        f"`{manifest.data.split_sha256[:12]}`). Figures are on validation patients, with 95% "
        "intervals from a bootstrap over patients.",
        *_method(manifest),
        "## Results",
        f"Mean AUROC over the findings with enough positives: {figures.cell('auroc_mean', 'all')}.",
        label_table(figures, rules),
        "## Calibration and operating points",
        f"{manifest.extra['calibration']} Mean ECE over the findings with enough positives: "
        f"{figures.cell('ece_mean', 'all')}.",
        f"Threshold: {manifest.extra['threshold']} Its interval is that of the choice over "
        "resampled patients, the calibration held fast.",
        *_subgroups(figures),
        "## By source resolution",
        RESOLUTION_TEXT,
        resolution_table(figures),
        *shortcut_sentence(figures),
        *_maps(figures),
        "## Limits",
        _LIMITS.format(width_px=manifest.input.width_px),
    ]
    return paragraphs(parts)


def _method(manifest: ModelManifest) -> list[str]:
    recipe = manifest.training.recipe
    return [
        "## Method",
        f"Start: {_start(recipe)}. Every image is brought to {manifest.input.canonical_px} px "
        "a side by the serving preprocessing, then its sharpness is made random. "
        f"{_loss(recipe)}, AdamW, cosine schedule; published: {manifest.extra['checkpoint']}."
        f"{_within_source(recipe)}{_mirrored(manifest)}{_usual_map(manifest)}",
        *_sessions(manifest),
        *_members(manifest),
        f"Commit `{manifest.training.commit}`, command `{manifest.training.command}`.",
    ]


def _start(recipe: dict[str, object]) -> str:
    package = recipe.get("pretrained")
    return f"ImageNet weights of `{package}`" if package else "random weights"


def _loss(recipe: dict[str, dict[str, str]]) -> str:
    name = recipe["training"].get("loss", "binary_cross_entropy")
    if name == "binary_cross_entropy":
        return "Binary cross-entropy without class weights"
    return f"Loss `{name}`"


def _within_source(recipe: dict[str, Any]) -> str:
    """A sentence for each label that is not learned from all images all the time."""
    told = ""
    for label, rule in recipe["training"]["within_source"].items():
        told += f" {label} is learned from {' and '.join(rule['sources'])} source images alone"
        # A recipe of the first version has no such key, and its rule holds from the start.
        if (start := rule.get("from_epoch", 1)) > 1:
            told += f" from epoch {start} on, and from all until then"
        told += f"; its loss there weighs {rule['weight']:g} times."
    return told


def _mirrored(manifest: ModelManifest) -> str:
    if not manifest.architecture.arguments.get("mirrored"):
        return ""
    return " Its answer is the mean of the radiograph's and its mirror image's."


def _usual_map(manifest: ModelManifest) -> str:
    if not manifest.architecture.arguments.get("mean_normal_cam"):
        return ""
    return (
        " Taken off every map is what the maps of healthy training radiographs have in common, so "
        "that it shows where a radiograph differs from those."
    )


def _sessions(manifest: ModelManifest) -> list[str]:
    """A sentence for each resumption that changed the configuration; none for a plain run."""
    return [
        f"After epoch {session['after_epochs']} the run was resumed at commit "
        f"`{session['commit'][:12]}` with "
        + ", ".join(f"`{key}` = `{value}`" for key, value in session["changed"].items())
        + "; the earlier epochs ran without."
        for session in manifest.extra["sessions"]
        if session["changed"]
    ]


def _mean_of(manifest: ModelManifest) -> str:
    members = len(manifest.extra.get("members", []))
    return f"the mean of {members} networks " if members else ""


def _members(manifest: ModelManifest) -> list[str]:
    """A sentence for each of several networks, whatever it was resumed with included."""
    sentences = []
    for number, member in enumerate(manifest.extra.get("members", []), start=1):
        resumed = [
            f" resumed after epoch {session['after_epochs']} at commit `{session['commit'][:12]}`;"
            for session in member["sessions"][1:]
        ]
        sentences.append(
            f"Network {number}: seed {member['seed']}, {member['epochs']} epochs, published after "
            f"epoch {member['epoch']};{''.join(resumed)} commit `{member['commit'][:12]}`, "
            f"command `{member['command']}`."
        )
    return sentences


def _subgroups(figures: Figures) -> list[str]:
    return [
        "## Subgroups",
        SUBGROUP_TEXT,
        subgroup_table(figures),
        *sensitivity_tables(figures),
    ]


def _maps(figures: Figures) -> list[str]:
    tables = map_tables(figures)
    if not tables:
        return []
    return [
        "## Where the maps point",
        "On validation radiographs whose findings were boxed by hand, the map beside what needs no "
        "radiograph: the usual place of the finding's boxes, the centre, and a random place. `all` "
        "is the mean over all boxed findings, `macro` that over the kinds of finding.",
        *tables,
    ]
