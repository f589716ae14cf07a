"""README.md of the results folder: its tables come from the CSVs that stand beside it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cxr_contracts import MetricRow
from cxr_training.classifier.card import RESOLUTION_TEXT, SUBGROUP_TEXT
from cxr_training.classifier.judging.judge import TOLERANCE, Judgement
from cxr_training.classifier.judging.maps import of_maps
from cxr_training.classifier.localisation import localisation_table
from cxr_training.classifier.tables import (
    Figures,
    label_table,
    paragraphs,
    resolution_table,
    sensitivity_tables,
    shortcut_sentence,
    subgroup_table,
)

PAGE = "README.md"
ECE_AIM = 0.03
# The first sentences of a long comparison are enough to see what happened.
_SENTENCES = 40


def page(
    judgement: Judgement,
    rows: list[MetricRow],
    rules: Mapping[str, str],
    folder: Path,
    differences: list[str] | None,
) -> str:
    """The page, in Markdown.

    Args:
        judgement: for what the model is and how it was judged.
        rows: of `figures.csv`.
        rules: how each threshold was chosen, of `operating_points.csv`.
        folder: where parts written by other commands are looked for.
        differences: from the manifest; None where there was nothing to compare.
    """
    manifest, figures = judgement.manifest, Figures(rows)
    mean = figures.cell("auroc_mean", "all")
    parts = [
        f"# {manifest.name}, version {manifest.version}, on validation patients",
        *_provenance(judgement),
        *_reproduction(judgement, differences),
        "## Findings",
        f"Mean AUROC over the findings with enough positives: {mean}. Every row: "
        "[figures.csv](figures.csv).",
        label_table(figures, rules),
        "## Operating points",
        _how_decided(judgement),
        "![ROC curves with the shipped operating points](operating_points.png)",
        "As numbers: [operating_points.csv](operating_points.csv).",
        *_calibration(figures),
        "## Subgroups",
        SUBGROUP_TEXT,
        subgroup_table(figures),
        "![gaps between each subgroup and all images](subgroups.png)",
        *sensitivity_tables(figures),
        "AUROC and specificity of each finding in each subgroup: [subgroups.csv](subgroups.csv).",
        "## By source resolution",
        RESOLUTION_TEXT,
        resolution_table(figures),
        *shortcut_sentence(figures),
        *_maps(rows),
        *_other_parts(folder),
    ]
    return paragraphs(parts)


def _calibration(figures: Figures) -> list[str]:
    error = figures.row("ece_mean", "all")
    met = error is not None and error.result.value <= ECE_AIM
    return [
        "## Calibration",
        f"Mean ECE over the findings with enough positives: {figures.cell('ece_mean', 'all')}; "
        f"the aim of at most {ECE_AIM} is {'met' if met else 'missed'}. Ten bins of equally many "
        "images for each finding: [reliability.csv](reliability.csv).",
        "![reliability of each finding](reliability.png)",
    ]


def _provenance(judgement: Judgement) -> list[str]:
    manifest, answers = judgement.manifest, judgement.answers
    patients = len(np.unique(answers.patients))
    evaluation, seed = judgement.rules.evaluation, judgement.rules.seed
    return [
        f"Written by `python -m cxr_training.classifier judge --model "
        f"models/classifier/{manifest.name} {judgement.on}` (`make evaluate-classifier` for the "
        "default model): the published ONNX file, run as the service runs it, on "
        f"{len(answers)} images of {patients} validation patients.",
        f"- weights `{manifest.weights.sha256}`\n"
        f"- ONNX `{manifest.onnx.sha256}`\n"
        f"- split `{judgement.split_sha256}`\n"
        f"- 95% intervals: {evaluation.resamples} bootstrap resamples of the patients, seed {seed}",
    ]


def _how_decided(judgement: Judgement) -> str:
    if judgement.rules.fitted:
        return (
            f"{judgement.manifest.extra['threshold']} The threshold's interval is that of the "
            "choice over resampled patients, the calibration held fast. Sensitivity and "
            "specificity are cross-fitted: each image is judged by a calibration and a threshold "
            "of the other patients, which is why a mark can lie beside its curve."
        )
    return (
        "Calibration and thresholds are the model's own, judged as shipped: nothing was fitted "
        "on these patients. Whether its training saw them, this page cannot know."
    )


def _reproduction(judgement: Judgement, differences: list[str] | None) -> list[str]:
    if differences is None:
        return []
    n = len(judgement.manifest.metrics)
    lines = [
        "## Against the manifest",
        f"The manifest's {n} figures, fourteen calibrations and fourteen thresholds were measured "
        f"again; a value or an end of an interval may differ by {TOLERANCE}.",
    ]
    if not differences:
        return [*lines, "All agree."]
    shown = [f"- {sentence}" for sentence in differences[:_SENTENCES]]
    if len(differences) > _SENTENCES:
        shown.append(f"- and {len(differences) - _SENTENCES} more")
    return [*lines, "What does not agree:", "\n".join(shown)]


def _maps(rows: list[MetricRow]) -> list[str]:
    found = of_maps(rows)
    if not found:
        return []
    return [
        "## Where the maps point",
        "Class activation maps on validation radiographs whose findings were boxed by hand, beside "
        "what needs no radiograph: the usual place of the finding's boxes, the centre, and a "
        "random place. Every row: [localisation.csv](localisation.csv).",
        localisation_table(found),
        "![pointing game and IoU of each finding](localisation.png)",
    ]


def _other_parts(folder: Path) -> list[str]:
    """What training and ablation left in the folder."""
    parts: list[str] = []
    ablation = folder / "ablation.md"
    if ablation.exists():
        parts += [
            "## Ablation",
            "The recipe with one part changed at a time, written by `make ablate-classifier`: "
            "[ablation.csv](ablation.csv).",
            ablation.read_text().strip(),
            "![gain of each change](ablation.png)",
        ]
    if (folder / "curves.png").exists():
        parts += [
            "## Training",
            "The published run, epoch by epoch: [curves.csv](curves.csv).",
            "![losses and validation AUROC by epoch](curves.png)",
        ]
    return parts
