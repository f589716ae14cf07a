"""The commands of triage, and `docs/results/triage/`: the published model's page and CSV."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from cxr_classifier.predictor import load_predictor as load_classifier
from cxr_classifier.settings import ClassifierSettings
from cxr_contracts import MANIFEST_NAME, MetricRow, ModelIdentity, TriageManifest
from cxr_detector.loading import load_predictor as load_detector
from cxr_detector.settings import DetectorSettings
from cxr_gateway.analysis.triage import IMMEDIATE, SAME_DAY
from cxr_gateway.core.schemas import Priority
from cxr_gateway.core.settings import DEFAULT_ALERT_BUDGET, DEFAULT_SOON_BUDGET
from cxr_serving.model_folder import identity_of
from cxr_training.data.nih import read_boxed
from cxr_training.data.rsna import Read, read_reads
from cxr_training.data.splits import NIH_FOLDER, RSNA_FOLDER, TEST_FOLDER, Split, split_sha256
from cxr_training.export.publishing import write_manifest
from cxr_training.monitoring.triage import (
    FORMS,
    TriageImages,
    answers_of,
    fit_triage,
    measure,
    read_triage,
    with_measured,
)
from cxr_training.report.tables import (
    cells_of,
    differing_figures,
    format_interval,
    format_percent,
    markdown_table,
    of_split,
    write_csv,
)

# Two machines' processors round differently; a figure that moves by more is another one.
_TOLERANCE = 2e-3
_KINDS = {
    "share_of_immediate": "with an immediate finding",
    "share_of_same_day": "with a same-day finding alone",
    "share_of_no_finding": "without a finding by NIH's label",
    "share_of_verified_normal": "normal to RSNA's radiologists",
    "share": "all",
}


def fit(options: Namespace) -> int:
    """`cxr triage fit`."""
    images, classifier, detector, patients = _images(options, Split.VALIDATION)
    manifest = fit_triage(images, classifier, detector, patients)
    return _write(manifest, _folder(options, classifier, detector), options.results)


def evaluate(options: Namespace) -> int:
    """`cxr triage evaluate`."""
    split = Split(options.split)
    images, classifier, detector, _ = _images(options, split)
    folder = _folder(options, classifier, detector)
    published = read_triage(folder / MANIFEST_NAME, classifier, detector)
    manifest = with_measured(published, measure(images, published, split))
    return _write(manifest, folder, options.results)


def verify(options: Namespace) -> int:
    """`cxr triage verify`."""
    differing = []
    for split in (Split.VALIDATION, Split.TEST):
        images, classifier, detector, _ = _images(options, split)
        folder = _folder(options, classifier, detector)
        published = read_triage(folder / MANIFEST_NAME, classifier, detector)
        measured = measure(images, published, split)
        names = {row.name for row in measured}
        rows = [row for row in of_split(published.metrics, split) if row.name in names]
        differing += differing_figures(rows, measured, _TOLERANCE)
    print("\n".join(differing) or f"{folder}: every figure is as published")
    return 1 if differing else 0


def _images(
    options: Namespace, split: Split
) -> tuple[TriageImages, ModelIdentity, ModelIdentity, str]:
    """The split's images with both models' answers, the models, and the sha256 of the split."""
    is_test = split is Split.TEST
    root = options.data / TEST_FOLDER if is_test else options.data
    boxed = read_boxed(root / NIH_FOLDER, held_out=is_test)
    images = boxed.of(split)
    normal = set()
    if (root / RSNA_FOLDER).is_dir():
        reads = read_reads(root / RSNA_FOLDER, held_out=is_test)
        normal = {one.nih_name for one in reads if one.read is Read.NORMAL}
    classifier = load_classifier(ClassifierSettings(model_dir=options.classifier))
    detector = load_detector(DetectorSettings(model_dir=options.models / "detector"))
    answers = answers_of(images, classifier, detector, options.cache)
    pair = identity_of(classifier.manifest), identity_of(detector.manifest)
    return TriageImages.of(images, answers, normal), *pair, split_sha256(boxed.splits)


def _folder(options: Namespace, classifier: ModelIdentity, detector: ModelIdentity) -> Path:
    folder: Path = options.models / "triage" / f"{classifier.name}--{detector.name}"
    return folder


def _write(manifest: TriageManifest, folder: Path, results: Path) -> int:
    write_manifest(manifest, folder)
    results.mkdir(parents=True, exist_ok=True)
    header = ["split", "name", "subset", "n", "n_positive", "value", "low", "high"]
    lines = (
        [x.split, x.name, x.subset, x.n, x.n_positive, *cells_of(x.result)]
        for x in manifest.metrics
    )
    write_csv(results / "triage.csv", header, lines)
    page = _page(manifest) + "\n"
    (results / "README.md").write_text(page)
    print(page)
    return 0


def _page(manifest: TriageManifest) -> str:
    parts = [
        "# How triage orders radiographs",
        "Made by `make fit-triage` and `make evaluate-triage SPLIT=test`. Labels are NIH's, mined "
        'from reports and about 90% right; "normal" is what radiologists read (RSNA). Intervals '
        "are 95%, over patients. "
        f"Budgets are the defaults: {DEFAULT_ALERT_BUDGET:.0%} urgent, a further "
        f"{DEFAULT_SOON_BUDGET:.0%} soon, "
        "as shares of validation patients' images. Official-test patients are sicker, so more of "
        "theirs are called.",
        f"Immediate: {_names(IMMEDIATE)}. Same day: {_names(SAME_DAY)}.",
    ]
    for split in (Split.TEST, Split.VALIDATION):
        rows = of_split(manifest.metrics, split)
        if any(row.name == "share" for row in rows):
            parts += _split_part(rows, split)
    parts += _forms_part(manifest)
    return "\n\n".join(parts)


def _split_part(rows: Sequence[MetricRow], split: Split) -> list[str]:
    found = {(row.name, row.subset): row for row in rows}
    header = ["radiographs", "n", *(priority.value for priority in Priority)]
    table = []
    for name, said in _KINDS.items():
        cells = [found.get((name, priority.value)) for priority in Priority]
        if all(cells):
            shown = [format_percent(cell.result) for cell in cells if cell]
            table.append([said, str(cells[0].n if cells[0] else 0), *shown])
    called = [
        [
            priority.value,
            str(row.n),
            format_percent(row.result),
            format_percent(found["precision_same_day", priority.value].result),
        ]
        for priority in Priority
        if (row := found.get(("precision_immediate", priority.value)))
    ]
    lines = [
        f"- {said}: {format_interval(row.result, digits)}"
        for name, subset, said, digits in (
            ("auroc_immediate", "all", "AUROC of the score for an immediate finding", 3),
            ("auroc_immediate", "view=PA", "the same, PA views", 3),
            ("auroc_immediate", "view=AP", "the same, AP views", 3),
            ("auroc_same_day", "all", "AUROC for an immediate or same-day finding", 3),
            ("lift_immediate", "urgent", "immediate findings among urgent images over all", 2),
        )
        if (row := found.get((name, subset)))
    ]
    patients = "Test patients" if split is Split.TEST else "Validation patients (weights fitted)"
    return [
        f"## {patients}",
        markdown_table(header, table),
        markdown_table(
            ["called", "n", "had an immediate finding", "had that or a same-day finding"], called
        ),
        "\n".join(lines),
    ]


def _forms_part(manifest: TriageManifest) -> list[str]:
    losses = {row.subset: row.result.value for row in manifest.metrics if row.name == "log_loss"}
    rows = [
        [form, *(f"{losses[f'{kind}/{form}']:.4f}" for kind in ("immediate", "same_day"))]
        for form in FORMS
        if f"immediate/{form}" in losses
    ]
    return [
        "## Forms compared",
        f"Cross-fitted log loss on validation patients; published: {manifest.fit.form}.",
        markdown_table(["form", "immediate", "immediate or same day"], rows),
    ]


def _names(findings: Sequence[str]) -> str:
    return ", ".join(str(finding).replace("_", " ") for finding in findings)
