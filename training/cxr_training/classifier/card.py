"""MODEL_CARD.md, made from the manifest alone."""

from cxr_contracts import LabelSpec, MetricRow, ModelManifest
from cxr_training.publishing import format_interval, markdown_table

_LIMITS = """\
- The labels were mined from reports by text and are about 90% right (Wang et al. 2017); the
  figures above inherit that ceiling.
- One hospital, 1992 to 2015, adults for the most part, PA and AP views, images stretched to a
  square. Other scanners, children and lateral views were not seen.
- Network input is {canonical_px} px a side: small nodules, fine lines and small pneumothoraces
  can be invisible to it whatever the size of the upload.
- Pneumonia stands almost only on the large source images. Training brings every image to one
  size, randomises its sharpness, and learns Pneumonia within the large images alone; read the
  row `source=large`, not the row over all images.
- Hernia, Fibrosis, Emphysema and Edema are rare: look at the number of positives before the
  figure. Calibration holds for the prevalence of the validation patients.
- Epoch, calibration and thresholds were chosen on the validation patients. Calibration error,
  sensitivity and specificity are cross-fitted over patients; AUROC is not affected by them.
  The bootstrap of a calibration error leans upward, so its interval lies mostly above it.
- A class activation map shows where the evidence lies on a coarse grid; it is not a contour."""


def model_card(manifest: ModelManifest) -> str:
    """The card, in Markdown."""
    recipe = manifest.training.recipe
    parts = [
        f"# {manifest.name}, version {manifest.version}",
        "**For research use. Not a medical device; not for diagnosis.**",
        f"A classifier of {len(manifest.labels)} findings on frontal chest radiographs: "
        f"`{manifest.architecture.name}` ({manifest.architecture.library}) at "
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
        "## Method",
        f"Start: {_start(recipe)}. Every image is brought to {manifest.input.canonical_px} px "
        "a side by the serving preprocessing, then its sharpness is made random. Binary "
        "cross-entropy without class weights, AdamW, cosine schedule; published: "
        f"{manifest.extra['checkpoint']}. {manifest.extra['calibration']} Threshold: "
        f"{manifest.extra['threshold']}",
        *_sessions(manifest),
        f"Commit `{manifest.training.commit}`, command `{manifest.training.command}`.",
        "## Results",
        f"Mean AUROC over the labels with enough positives: {_mean(manifest, 'all')}.",
        _label_table(manifest),
        "## By source resolution",
        "The same images by the size of their files, and all images brought down to the "
        "smallest size first. A network that read sharpness would lose here.",
        _resolution_table(manifest),
        *_shortcut(manifest),
        "## Limits",
        _LIMITS.format(canonical_px=manifest.input.canonical_px),
    ]
    return "\n\n".join(parts) + "\n"


def _start(recipe: dict[str, object]) -> str:
    package = recipe.get("pretrained")
    return f"ImageNet weights of `{package}`" if package else "random weights"


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


def _shortcut(manifest: ModelManifest) -> list[str]:
    row = _row(manifest, "source_auroc", "Pneumonia")
    if row is None:
        return []
    return [
        f"Among the {row.n} images without a finding, Pneumonia's score tells the "
        f"{row.n_positive} large ones from the others with an AUROC of "
        f"{format_interval(row.result)}; 0.5 would be no trace of the source."
    ]


def _row(manifest: ModelManifest, name: str, subset: str) -> MetricRow | None:
    for row in manifest.metrics:
        if row.name == name and row.subset == subset:
            return row
    return None


def _cell(manifest: ModelManifest, name: str, subset: str) -> str:
    row = _row(manifest, name, subset)
    return "-" if row is None else format_interval(row.result)


def _mean(manifest: ModelManifest, subset: str) -> str:
    return _cell(manifest, "auroc_mean", subset)


def _label_table(manifest: ModelManifest) -> str:
    header = ["finding", "positives", "AUROC", "ECE", "threshold", "sensitivity", "specificity"]
    return markdown_table(header, [_label_line(manifest, label) for label in manifest.labels])


def _label_line(manifest: ModelManifest, label: LabelSpec) -> list[str]:
    row = _row(manifest, "prevalence", label.name)
    positives = "-" if row is None else f"{row.n_positive} of {row.n}"
    return [
        label.name,
        positives,
        _cell(manifest, "auroc", label.name),
        _cell(manifest, "ece", label.name),
        f"{label.threshold:.3f} ({label.threshold_rule})",
        _cell(manifest, "sensitivity", label.name),
        _cell(manifest, "specificity", label.name),
    ]


def _resolution_table(manifest: ModelManifest) -> str:
    subsets = [row.subset for row in manifest.metrics if row.name == "auroc_mean"]
    lines = []
    for subset in subsets:
        mean = _row(manifest, "auroc_mean", subset)
        pneumonia = "Pneumonia" if subset == "all" else f"Pneumonia/{subset}"
        row = _row(manifest, "auroc", pneumonia)
        lines.append(
            [
                subset,
                str(mean.n) if mean else "-",
                _mean(manifest, subset),
                _cell(manifest, "auroc", pneumonia),
                str(row.n_positive) if row else "fewer than needed",
            ]
        )
    header = ["images", "n", "mean AUROC", "Pneumonia AUROC", "Pneumonia positives"]
    return markdown_table(header, lines)
