"""Figures as Markdown tables, the same for the model card and the page of results."""

from collections.abc import Iterable, Mapping, Sequence

from cxr_contracts import Interval, MetricRow
from cxr_training.classifier.answers import SUBGROUP_KINDS, is_subgroup
from cxr_training.classifier.localisation.rows import subset_name
from cxr_training.classifier.localisation.scoring import IOU, POINTING, Pointer
from cxr_training.classifier.samples import LABELS
from cxr_training.report.tables import format_interval, markdown_table

_KINDS = {"sex": "sex", "age": "age in years", "view": "view"}


class Figures:
    """Rows by name and subset."""

    def __init__(self, rows: Iterable[MetricRow]) -> None:
        self._rows = {(row.name, row.subset): row for row in rows}

    def row(self, name: str, subset: str) -> MetricRow | None:
        """The row, or None."""
        return self._rows.get((name, subset))

    def cell(self, name: str, subset: str) -> str:
        """The figure with its interval, or a dash."""
        row = self.row(name, subset)
        return "-" if row is None else format_interval(row.result)

    def subsets(self, name: str) -> list[str]:
        """The subsets of a figure, in the order of the rows."""
        return [subset for found, subset in self._rows if found == name]

    def subgroups(self, kind: str) -> list[str]:
        """E.g. `sex=F` and `sex=M` of the kind `sex`."""
        return [x for x in self.subsets("any_finding") if x.startswith(f"{kind}=")]


def label_table(figures: Figures, rules: Mapping[str, str]) -> str:
    """A line for each finding; `rules` says how each threshold was chosen."""
    header = ["finding", "positives", "AUROC", "ECE", "threshold", "sensitivity", "specificity"]
    return markdown_table(header, [_label_line(figures, label, rules) for label in rules])


def _label_line(figures: Figures, label: str, rules: Mapping[str, str]) -> list[str]:
    row = figures.row("prevalence", label)
    return [
        label,
        "-" if row is None else f"{row.n_positive} of {row.n}",
        figures.cell("auroc", label),
        figures.cell("ece", label),
        f"{figures.cell('threshold', label)}, {rules[label]}",
        figures.cell("sensitivity", label),
        figures.cell("specificity", label),
    ]


def resolution_table(figures: Figures) -> str:
    """All images, those of each source size, and all brought down to the smallest size."""
    lines = []
    for subset in figures.subsets("auroc_mean"):
        if is_subgroup(subset):
            continue
        mean = figures.row("auroc_mean", subset)
        pneumonia = "Pneumonia" if subset == "all" else f"Pneumonia/{subset}"
        row = figures.row("auroc", pneumonia)
        lines.append(
            [
                subset,
                str(mean.n) if mean else "-",
                figures.cell("auroc_mean", subset),
                figures.cell("auroc", pneumonia),
                str(row.n_positive) if row else "fewer than needed",
            ]
        )
    header = ["images", "n", "mean AUROC", "Pneumonia AUROC", "Pneumonia positives"]
    return markdown_table(header, lines)


def subgroup_table(figures: Figures) -> str:
    """A line for each sex, age band and view."""
    lines = [
        _subgroup_line(figures, subset)
        for kind in SUBGROUP_KINDS
        for subset in figures.subgroups(kind)
    ]
    header = ["images", "n", "with a finding", "findings judged", "mean AUROC", "gap"]
    header += ["mean sensitivity", "gap", "mean specificity", "gap", "all marked findings: found"]
    return markdown_table(header, lines)


def _subgroup_line(figures: Figures, subset: str) -> list[str]:
    row = figures.row("any_finding", subset)
    judged = [x for x in figures.subsets("sensitivity") if x.endswith(f"/{subset}")]
    line = [subset, "-" if row is None else str(row.n)]
    line += ["-" if row is None else str(row.n_positive), str(len(judged))]
    for name in ("auroc", "sensitivity", "specificity"):
        line.append(figures.cell(f"{name}_mean", subset))
        gap = figures.row(f"{name}_gap", subset)
        line.append("-" if gap is None else signed(gap.result))
    pooled = figures.row("sensitivity_pooled", subset)
    found = figures.cell("sensitivity_pooled", subset)
    return [*line, found if pooled is None else f"{found} of {pooled.n_positive}"]


def sensitivity_tables(figures: Figures) -> list[str]:
    """For each kind of subgroup, the sensitivity for each finding with enough positives in one."""
    tables = []
    for kind in SUBGROUP_KINDS:
        groups = [
            group
            for group in figures.subgroups(kind)
            if any(figures.row("sensitivity", f"{label}/{group}") for label in LABELS)
        ]
        lines = []
        for label in LABELS:
            cells = [figures.cell("sensitivity", f"{label}/{group}") for group in groups]
            if set(cells) - {"-"}:
                lines.append([label.value, *cells])
        if lines:
            header = [f"sensitivity by {_KINDS[kind]}"]
            header += [group.partition("=")[2] for group in groups]
            tables.append(markdown_table(header, lines))
    return tables


def is_map_figure(row: MetricRow) -> bool:
    """Whether the row says where maps point rather than what scores say."""
    return row.name.startswith((POINTING, IOU))


def map_tables(figures: Figures) -> list[str]:
    """The pointing game and the IoU of the maps beside the baselines; none without figures."""
    groups = [subset for subset in figures.subsets(POINTING) if "/" not in subset]
    header = ["findings", "boxed", "map", "usual place", "centre", "random"]
    pointers = (Pointer.CAM, Pointer.PRIOR, Pointer.CENTRE, Pointer.RANDOM)
    tables = []
    for name, shown in ((POINTING, "maximum in a box"), (IOU, "IoU with the boxes")):
        lines = []
        for group in groups:
            row = figures.row(name, group)
            cells = [figures.cell(name, subset_name(group, "", pointer)) for pointer in pointers]
            lines.append([group, "-" if row is None else str(row.n), *cells])
        if lines:
            tables.append(markdown_table([f"{shown}: {header[0]}", *header[1:]], lines))
    return tables


def shortcut_sentence(figures: Figures) -> list[str]:
    """What Pneumonia's score says of a healthy image's source; none where there is no figure."""
    row = figures.row("source_auroc", "Pneumonia")
    if row is None:
        return []
    return [
        f"Among the {row.n} images without a finding, Pneumonia's score tells the "
        f"{row.n_positive} large ones from the others with an AUROC of "
        f"{format_interval(row.result)}; 0.5 would be no trace of the source."
    ]


def signed(gap: Interval) -> str:
    """E.g. `-0.012 (-0.030 to +0.008)`."""
    return f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"


def paragraphs(parts: Sequence[str]) -> str:
    """A Markdown page of them."""
    return "\n\n".join(parts) + "\n"
