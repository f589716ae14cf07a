"""MODEL_CARD.md, made from the manifest alone, and the tables that the results page shares."""

from collections.abc import Iterable, Sequence
from typing import Any

from cxr_classifier.evidence import MAPS
from cxr_contracts import Finding, LabelSpec, MetricRow, ModelManifest, OperatingPoint
from cxr_training.classifier.localisation import IOU, POINTING, Pointer, subset_name
from cxr_training.classifier.predictions import SUBGROUP_KINDS, is_subgroup
from cxr_training.data.splits import Split
from cxr_training.report.card import OWN_DRAFT, Headline, facts_table, model_card
from cxr_training.report.tables import format_gap, format_interval, markdown_table

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
MAPS_TEXT = (
    "On radiographs whose findings were boxed by hand, the map beside what needs no radiograph: "
    "the prior (where training patients' boxes of the finding lay), the centre, and a random "
    "place. `all` is the mean over all boxed findings, `macro` that over the kinds of finding."
)
HEADLINES = (
    Headline("mean AUROC over the findings", "auroc_mean"),
    Headline("the same, large files only", "auroc_mean", "source=large"),
    Headline("Pneumonia's AUROC, large files only", "auroc", "Pneumonia/source=large"),
    Headline("mean calibration error (ECE)", "ece_mean"),
    Headline("mean Brier skill (0: no better than the prevalence)", "brier_skill_mean"),
    Headline("mean calibration slope (1: neither too bold nor too shy)", "calibration_slope_mean"),
    Headline("findings likely on an image that has none, median", "likely_per_normal_median"),
    Headline("the same, mean", "likely_per_normal"),
    Headline("findings possible there, median", "possible_per_normal_median"),
    Headline("the same, mean", "possible_per_normal"),
    Headline("map's maximum in a drawn box", POINTING),
    Headline("the prior's, which sees no radiograph", POINTING, "all/baseline=prior"),
)
LIMITS = (
    "The labels were mined from reports by text and are about 90% right (Wang et al. 2017); the "
    "figures inherit that ceiling.",
    "One hospital, 1992 to 2015, adults for the most part, PA and AP views, images stretched to a "
    "square. Other scanners, children and lateral views were not seen. An AP radiograph is mostly "
    "taken at the bedside, of sicker patients: a difference between views is one between patients.",
    "Network input is {width_px} px a side: small nodules, fine lines and small pneumothoraces can "
    "be invisible to it whatever the size of the upload.",
    "File size is a confounder: Pneumonia stands almost only on large images. Training brings all "
    "to one size and randomises their sharpness; read the row `source=large`, not that over all.",
    "Hernia, Fibrosis, Emphysema and Edema are rare: look at the number of positives before the "
    "figure. Calibration holds for the prevalence of the validation patients.",
    "Epoch, calibration and levels were chosen on validation patients. Calibration error, "
    "sensitivity and specificity are cross-fitted there. The bootstrap of the former leans "
    "upward, so its interval lies mostly above it.",
    "A class activation map shows where the evidence lies on a coarse grid; it is not a contour.",
    "Failures are not shown as images: they would be radiographs of patients, which this project "
    "does not redistribute. The tables of sensitivity say which findings are missed, and in whom.",
)
# Of a model that was trained on a table of one's own.
OWN_LIMITS = (*OWN_DRAFT, LIMITS[2], LIMITS[5], LIMITS[6])
_IMPORTED_FAILS = (
    "Nothing was measured here. Measure it on radiographs of your own, with labels, before "
    "anybody relies on it: `cxr classifier evaluate --model {folder} --data DATA`.",
    "Choose patients that it was not trained on. Weights that saw NIH ChestX-ray14 may have seen "
    "the very patients that are validation or test patients here; on those its figures flatter it.",
    "An image is stretched to a square of {side} px, as NIH's were. Where the network was trained "
    "on images cropped to a square, a radiograph that is not square looks wider or narrower to it.",
    "Probabilities are as well calibrated as the weights make them, and for their prevalence.",
    "A map shows where the evidence lies on a coarse grid; it is not a contour.",
)
_NO_CALIBRATION = (
    "**Not calibrated here.** Calibration and levels are fitted to a site's own labelled "
    "radiographs by `cxr models calibrate --model {folder} --data CSV`; until then the API and the "
    "page say so with every study."
)
# How a map comes about, unless a manifest says otherwise.
OF_FEATURES = "class activation maps: the head applied to each cell of the last feature map"


class Figures:
    """Rows of one split by name and subset."""

    def __init__(self, rows: Iterable[MetricRow], split: Split = Split.VALIDATION) -> None:
        self._rows = {(row.name, row.subset): row for row in rows if row.split == split.value}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def row(self, name: str, subset: str) -> MetricRow | None:
        """The row, or None."""
        return self._rows.get((name, subset))

    def cell(self, name: str, subset: str, *, signed: bool = False) -> str:
        """The figure with its interval, or a dash; `signed` for a difference."""
        row = self.row(name, subset)
        if row is None:
            return "-"
        return (format_gap if signed else format_interval)(row.result)

    def subsets(self, name: str) -> list[str]:
        """The subsets of a figure, in the order of the rows."""
        return [subset for found, subset in self._rows if found == name]

    def subgroups(self, kind: str) -> list[str]:
        """E.g. `sex=F` and `sex=M` of the kind `sex`."""
        return [x for x in self.subsets("any_finding") if x.startswith(f"{kind}=")]


def classifier_card(manifest: ModelManifest) -> str:
    """The card, in Markdown: what it is, how good it is, where it fails; then the details."""
    if "imported" in manifest.extra:
        return _imported_card(manifest)
    members = len(manifest.extra.get("members", []))
    by_split = {split: Figures(manifest.metrics, split) for split in (Split.TEST, Split.VALIDATION)}
    network, spec = manifest.architecture, manifest.input
    return model_card(
        manifest,
        what=(
            f"A classifier of {len(manifest.labels)} findings on frontal chest radiographs, for "
            "research and teaching by somebody who knows that predictions can be wrong: "
            f"{f'the mean of {members} networks ' if members else ''}`{network.name}` "
            f"({network.library}) at {spec.width_px} x {spec.height_px} px, one grey channel. Each "
            "finding comes with a class activation map whose mean is its logit. "
            f"Licence: {manifest.licence}. Published {manifest.created_at}."
        ),
        headlines=HEADLINES,
        fails=[
            sentence.format(width_px=spec.width_px)
            for sentence in (OWN_LIMITS if "own_data" in manifest.extra else LIMITS)
        ],
        sections={
            **{
                f"Results on {split} patients": "\n\n".join(results(figures, manifest.labels))
                for split, figures in by_split.items()
                if figures
            },
            "Calibration and evidence levels": "\n\n".join(
                [
                    f"{manifest.extra['calibration']} {manifest.extra['threshold']}",
                    *levels_table(manifest.labels),
                ]
            ),
            "Data": f"{'; '.join(manifest.data.sources)}. {manifest.data.n_train} images to train "
            f"on, {manifest.data.n_validation} to validate on, no patient in both (split "
            f"`{manifest.data.split_sha256[:12]}`). Intervals are from a bootstrap over patients.",
            "Method": "\n\n".join(_method(manifest)),
        },
    )


def _imported_card(manifest: ModelManifest) -> str:
    """The card of a classifier that was trained elsewhere, with what was measured of it here."""
    spec, architecture, extra = manifest.input, manifest.architecture, manifest.extra
    channels = architecture.arguments
    low, high = (float((grey - spec.mean) / spec.std) for grey in (0, 1))
    grey_values = f"Black arrives as {low:.6g}, white as {high:.6g}."
    if "channel_mean" in channels:
        grey_values = (
            "Scaled to 0..1 and repeated in every channel; less "
            f"{channels['channel_mean']}, divided by {channels['channel_std']}."
        )
    origin = {name: f"`{value}`" for name, value in extra["imported"].items() if value}
    origin["trained on"] = "; ".join(manifest.data.sources)
    if found := extra.get("calibrated_on"):
        origin["calibrated on"] = (
            f"{found['images']} radiographs of {found['patients']} patients, `{found['csv']}` "
            f"(sha256 `{found['sha256'][:12]}`), {found['at']}"
        )
    thresholds = [
        [label.name, f"{label.threshold:.6f} ({label.threshold_rule})"] for label in manifest.labels
    ]
    kept = (
        f"{extra['calibration']} A finding is positive from its threshold on; the logits are "
        "those of the weights as given, to a difference of 0.0001. Other outputs were dropped: "
        f"{', '.join(extra['dropped']) or 'none'}. Maps: {extra.get(MAPS, OF_FEATURES)}."
    )
    fails = _IMPORTED_FAILS[1:] if manifest.metrics else _IMPORTED_FAILS
    if not manifest.calibrated:
        fails = (_NO_CALIBRATION, *fails)
    place = {"folder": f"models/classifier/{manifest.name}", "side": spec.width_px}
    return model_card(
        manifest,
        what=f"Imported weights: a classifier of {len(manifest.labels)} findings on frontal chest "
        f"radiographs, `{architecture.name}` ({architecture.library}) at {spec.width_px} x "
        f"{spec.height_px} px. They were trained elsewhere; this card says what came with them "
        f"and what was measured here. Licence of the weights: {manifest.licence}. "
        f"Imported {manifest.created_at}.",
        headlines=HEADLINES,
        fails=[x.format(**place) for x in fails],
        sections={
            "Where it comes from": facts_table(origin),
            "What was kept": f"{kept}\n\n{markdown_table(['finding', 'threshold'], thresholds)}",
            "Grey values": grey_values,
            "Evidence levels": "\n\n".join(levels_table(manifest.labels)),
        },
    )


def results(figures: Figures, labels: Sequence[LabelSpec]) -> list[str]:
    """The figures of a split; `labels` say how each threshold was chosen."""
    tables = _map_tables(figures)
    return [
        f"Means over the findings with enough positives: AUROC {figures.cell('auroc_mean', 'all')},"
        f" calibration error {figures.cell('ece_mean', 'all')}, Brier skill "
        f"{figures.cell('brier_skill_mean', 'all')} (0: no better than the prevalence), "
        f"calibration slope {figures.cell('calibration_slope_mean', 'all')} (1: neither too bold "
        "nor too shy).",
        _label_table(figures, labels),
        "### Subgroups",
        SUBGROUP_TEXT,
        _subgroup_table(figures),
        *_sensitivity_tables(figures, labels),
        "### By source resolution",
        RESOLUTION_TEXT,
        _resolution_table(figures, labels),
        *_shortcut_sentence(figures),
        *(["### Where the maps point", MAPS_TEXT, *tables] if tables else []),
    ]


def _method(manifest: ModelManifest) -> list[str]:
    recipe = manifest.training.recipe
    training, package = recipe["training"], recipe.get("pretrained")
    # Older manifests do not say it in words.
    start = manifest.extra.get("start") or (
        f"ImageNet weights of `{package}`" if package else "random weights"
    )
    weighted = training.get("label_weights", "equal") == "prevalence"
    normal = ""
    if training.get("supervision"):
        normal = (
            " Radiologists' reads and regions, view, sex and age were learned beside the labels by "
            "outputs that are not published. Where boxes were drawn, the maps learned to have "
            "their largest values inside them; where boxes of a finding usually lie is added to "
            "every map."
        )
    elif manifest.architecture.arguments.get("mean_normal_cam"):
        normal = (
            " The mean normal CAM, the mean map of training radiographs without a finding, is "
            "taken off every map, so that it shows where a radiograph differs from those."
        )
    return [
        f"Start: {start}. Every "
        f"image is brought to {manifest.input.canonical_px} px a side by the serving "
        "preprocessing, then its sharpness is made random. Binary cross-entropy, "
        f"{'rare labels weighted up' if weighted else 'labels weighted alike'}, AdamW, "
        f"cosine schedule; published: {manifest.extra['checkpoint']}."
        f"{_within_source(recipe)}{normal}",
        *_members(manifest),
        f"Commit `{manifest.training.commit}`, command `{manifest.training.command}`.",
    ]


def _within_source(recipe: dict[str, Any]) -> str:
    """A sentence for each label that is not learned from all images all the time."""
    told = ""
    for label, rule in recipe["training"]["within_source"].items():
        told += f" {label} is learned from {' and '.join(rule['sources'])} source images alone"
        if (start := rule.get("from_epoch", 1)) > 1:
            told += f" from epoch {start} on, and from all until then"
        told += f"; its loss there weighs {rule['weight']:g} times."
    return told


def _members(manifest: ModelManifest) -> list[str]:
    """A sentence for each of several networks."""
    return [
        f"Network {number}: seed {member['seed']}, {member['epochs']} epochs, published after "
        f"epoch {member['epoch']}; commit `{member['commit'][:12]}`, command `{member['command']}`."
        for number, member in enumerate(manifest.extra.get("members", []), start=1)
    ]


def levels_table(labels: Sequence[LabelSpec]) -> list[str]:
    """What each level was measured to mean, a table with a sentence; nothing without levels."""
    lines, measured = [], set()
    for label in labels:
        if label.levels is not None:
            points = (label.levels.possible, label.levels.likely)
            measured |= {f"{point.n} images of {point.split} patients" for point in points}
            lines.append([label.name, *(cell for point in points for cell in _point_cells(point))])
    if not lines:
        return []
    header = ["finding"]
    for level in ("possible", "likely"):
        header += [f"{level} from", "sensitivity", "specificity", "right, of those that reach it"]
    return [
        f"What the levels mean, measured on {' and '.join(sorted(measured))}; a dash where there "
        "were too few to say.",
        markdown_table(header, lines),
    ]


def _point_cells(point: OperatingPoint) -> list[str]:
    figures = (point.sensitivity, point.specificity, point.precision)
    shown = ["-" if x is None else format_interval(x, 2) for x in figures]
    return [f"{point.threshold:.3f}", *shown]


def _label_table(figures: Figures, labels: Sequence[LabelSpec]) -> str:
    header = ["finding", "positives", "AUROC", "ECE", "Brier skill", "slope"]
    header += ["possible from", "sensitivity", "specificity"]
    lines = []
    for label in labels:
        row, name = figures.row("prevalence", label.name), label.name
        counts = "-" if row is None else f"{row.n_positive} of {row.n}"
        calibration = ("auroc", "ece", "brier_skill", "calibration_slope")
        line = [name, counts, *(figures.cell(one, name) for one in calibration)]
        line.append(f"{figures.cell('threshold', name)}, {label.threshold_rule}")
        lines.append([*line, *(figures.cell(x, name) for x in ("sensitivity", "specificity"))])
    return markdown_table(header, lines)


def _resolution_table(figures: Figures, labels: Sequence[LabelSpec]) -> str:
    """All images, those of each source size, and all brought down to the smallest size.

    Of NIH's labels Pneumonia is shown by itself: file size gives it away there.
    """
    with_pneumonia = any(label.name == Finding.PNEUMONIA.value for label in labels)
    lines = []
    for subset in figures.subsets("auroc_mean"):
        if is_subgroup(subset):
            continue
        mean = figures.row("auroc_mean", subset)
        line = [subset, str(mean.n) if mean else "-", figures.cell("auroc_mean", subset)]
        if with_pneumonia:
            pneumonia = "Pneumonia" if subset == "all" else f"Pneumonia/{subset}"
            row = figures.row("auroc", pneumonia)
            positives = str(row.n_positive) if row else "fewer than needed"
            line += [figures.cell("auroc", pneumonia), positives]
        lines.append(line)
    header = ["images", "n", "mean AUROC"]
    if with_pneumonia:
        header += ["Pneumonia AUROC", "Pneumonia positives"]
    return markdown_table(header, lines)


def _subgroup_table(figures: Figures) -> str:
    """A line for each sex, age band and view."""
    lines = []
    for subset in [x for kind in SUBGROUP_KINDS for x in figures.subgroups(kind)]:
        row, pooled = (figures.row(x, subset) for x in ("any_finding", "sensitivity_pooled"))
        common = [x for x in figures.subsets("sensitivity") if x.endswith(f"/{subset}")]
        line = [subset, *(["-"] * 2 if row is None else [str(row.n), str(row.n_positive)])]
        line.append(str(len(common)))
        for name in ("auroc", "sensitivity", "specificity"):
            line.append(figures.cell(f"{name}_mean", subset))
            line.append(figures.cell(f"{name}_gap", subset, signed=True))
        found = figures.cell("sensitivity_pooled", subset)
        lines.append([*line, found if pooled is None else f"{found} of {pooled.n_positive}"])
    header = ["images", "n", "with a finding", "findings compared", "mean AUROC", "gap"]
    header += ["mean sensitivity", "gap", "mean specificity", "gap", "all marked findings: found"]
    return markdown_table(header, lines)


def _sensitivity_tables(figures: Figures, labels: Sequence[LabelSpec]) -> list[str]:
    """For each kind of subgroup, the sensitivity for each finding with enough positives in one."""
    tables = []
    for kind in SUBGROUP_KINDS:
        groups = [
            group
            for group in figures.subgroups(kind)
            if any(figures.row("sensitivity", f"{label.name}/{group}") for label in labels)
        ]
        lines = []
        for label in labels:
            cells = [figures.cell("sensitivity", f"{label.name}/{group}") for group in groups]
            if set(cells) - {"-"}:
                lines.append([label.name, *cells])
        if lines:
            header = [f"sensitivity by {kind}", *(group.partition("=")[2] for group in groups)]
            tables.append(markdown_table(header, lines))
    return tables


def _map_tables(figures: Figures) -> list[str]:
    """The pointing game and the IoU of the maps beside the baselines; none without figures."""
    groups = [subset for subset in figures.subsets(POINTING) if "/" not in subset]
    header = ["boxed", "map", "prior", "centre", "random"]
    tables = []
    for name, shown in ((POINTING, "maximum in a box"), (IOU, "IoU with the boxes")):
        lines = []
        for group in groups:
            row = figures.row(name, group)
            cells = [figures.cell(name, subset_name(group, pointer)) for pointer in Pointer]
            lines.append([group, "-" if row is None else str(row.n), *cells])
        if lines:
            tables.append(markdown_table([f"{shown}: findings", *header], lines))
    return tables


def _shortcut_sentence(figures: Figures) -> list[str]:
    """What Pneumonia's score says of a healthy image's source; none where there is no figure."""
    row = figures.row("source_auroc", "Pneumonia")
    if row is None:
        return []
    return [
        f"Among the {row.n} images without a finding, Pneumonia's score tells the "
        f"{row.n_positive} large ones from the others with an AUROC of "
        f"{format_interval(row.result)}; 0.5 would be no trace of the source."
    ]
