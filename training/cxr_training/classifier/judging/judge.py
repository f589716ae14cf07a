"""The figures of a published model, and whether they are those of its manifest."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import LabelSpec, MetricRow, ModelManifest
from cxr_serving.model_folder import open_model_folder
from cxr_training.classifier.answers import Answers
from cxr_training.classifier.config import Evaluation
from cxr_training.classifier.decisions import Decisions, fitted_decisions, shipped_decisions
from cxr_training.classifier.judging.maps import map_rows
from cxr_training.classifier.judging.reading import read_published
from cxr_training.classifier.localisation.boxes import NIH_FOLDER
from cxr_training.classifier.reliability import ReliabilityBin, reliability
from cxr_training.classifier.report import for_manifest, metric_rows
from cxr_training.classifier.samples import read_samples
from cxr_training.core.errors import PublishError
from cxr_training.data.splits import split_sha256
from cxr_training.metrics.rows import differing_figures

# ONNX Runtime and PyTorch give logits that differ in the sixth digit, and another processor may
# round a resized picture otherwise. Neither moves an AUROC by this much; a changed network, data
# set or figure does.
TOLERANCE = 2e-3
# How a model is judged whose manifest does not say how its figures were made.
_PLAIN = Evaluation(resamples=1000, calibration_folds=5, min_positives=10)
_PLAIN_SEED, _PLAIN_COARSE_PX = 1, 64


class JudgementError(PublishError):
    """The manifest's figures cannot be, or were not, reproduced; the message says which."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model is judged.

    `fitted`: its calibration and thresholds were fitted on these very patients, so both are
    cross-fitted. Else they are judged as shipped, and there is nothing to compare with.
    """

    evaluation: Evaluation
    seed: int
    coarse_px: int
    fitted: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model and what was found of it; `rows` are all figures, in full.

    `on` are the options that name the data, without the folders of this machine.
    """

    manifest: ModelManifest
    on: str
    split_sha256: str
    rules: Rules
    answers: Answers
    decisions: Decisions
    rows: list[MetricRow]
    bins: list[ReliabilityBin]

    @property
    def is_comparable(self) -> bool:
        """Whether the manifest carries figures of these patients."""
        return self.rules.fitted


def judge(
    model: Path, data: Path | None, *, manifests: Sequence[Path] = (), check: bool = False
) -> Judgement:
    """Judge the model folder `model` on the validation patients of `data` and `manifests`.

    Args:
        model: the folder.
        data: holds `nih/`, and `chestx-det/` if maps are to be judged on its boxes, too;
            None for `manifests` alone, whose images nobody boxed.
        manifests: CSV manifests to judge on, too.
        check: refuse, before anything is read, where there is nothing to compare with.

    Raises:
        DataError: the data set is not as published.
        JudgementError: the manifest says how it was judged, but not in a way that is known; or
            `check`, and it carries no figures, or those of other patients.
        ModelFolderError: the folder is not what its manifest says.
    """
    folder = open_model_folder(model, "classifier")
    samples = read_samples(None if data is None else data / NIH_FOLDER, manifests)
    split = split_sha256(samples.patient_splits)
    rules = rules_of(folder.manifest, split)
    if check:
        _require_figures(folder.manifest, split)
    answers = read_published(folder, samples, rules.coarse_px)
    if rules.fitted:
        decisions = fitted_decisions(answers, rules.evaluation, rules.seed)
    else:
        decisions = shipped_decisions(answers, folder.manifest.labels)
    return Judgement(
        manifest=folder.manifest,
        on=" ".join(
            [
                *(["--data $DATA"] if data else []),
                *(f"--manifest {path.name}" for path in manifests),
            ]
        ),
        split_sha256=split,
        rules=rules,
        answers=answers,
        decisions=decisions,
        rows=[
            *metric_rows(answers, decisions, rules.evaluation, rules.seed),
            *([] if data is None else map_rows(folder, data)),
        ],
        bins=reliability(answers, decisions, rules.evaluation, rules.seed),
    )


def rules_of(manifest: ModelManifest, split: str) -> Rules:
    """How the manifest's figures were made; plain rules where it has none.

    Args:
        manifest: of the model.
        split: sha256 of the split that it is to be judged on.

    Raises:
        JudgementError: its recipe is of another form.
    """
    if not manifest.metrics:
        return Rules(_PLAIN, _PLAIN_SEED, _PLAIN_COARSE_PX, fitted=False)
    recipe = manifest.training.recipe
    try:
        return Rules(
            evaluation=Evaluation.model_validate(recipe["evaluation"]),
            seed=int(recipe["seed"]),
            coarse_px=int(recipe["augmentation"]["coarsest_px"]),
            fitted=manifest.data.split_sha256 == split,
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise JudgementError(
            f"the manifest of {manifest.name} carries figures, but its recipe does not say how "
            f"they were made: {error}"
        ) from error


def _require_figures(manifest: ModelManifest, split: str) -> None:
    if not manifest.metrics:
        raise JudgementError(f"the manifest of {manifest.name} carries no figures to compare with")
    if manifest.data.split_sha256 != split:
        raise JudgementError(
            f"{manifest.name} was judged on other patients (split "
            f"{manifest.data.split_sha256[:12]}) than those of this data set ({split[:12]}): "
            "there is nothing to compare"
        )


def comparison(judgement: Judgement) -> list[str]:
    """Where the manifest says otherwise than what was measured, a sentence each.

    `judgement` must be comparable.
    """
    sentences = contradictions(judgement)
    if new := unpublished(judgement):
        # In one sentence: a model published before a figure was thought of lacks all of a kind.
        kinds = ", ".join(dict.fromkeys(row.name for row in new))
        sentences.append(f"{len(new)} figures measured, but not published: {kinds}")
    return sentences


def contradictions(judgement: Judgement) -> list[str]:
    """Where a figure, a calibration or a threshold of the manifest is not what was measured."""
    manifest = judgement.manifest
    fitted = {label.name: label for label in judgement.decisions.labels}
    lacking = unpublished(judgement)
    known = [row for row in for_manifest(judgement.rows) if row not in lacking]
    sentences = differing_figures(manifest.metrics, known, TOLERANCE)
    for label in manifest.labels:
        sentences += _label_differences(label, fitted[label.name])
    return sentences


def unpublished(judgement: Judgement) -> list[MetricRow]:
    """The figures of which the manifest says nothing."""
    published = {(row.name, row.subset) for row in judgement.manifest.metrics}
    measured = for_manifest(judgement.rows)
    return [row for row in measured if (row.name, row.subset) not in published]


def _label_differences(shipped: LabelSpec, fitted: LabelSpec) -> list[str]:
    """Where calibration and threshold are not those that the validation patients give."""
    sentences = []
    if shipped.threshold_rule != fitted.threshold_rule:
        sentences.append(
            f"threshold of {shipped.name}: shipped by {shipped.threshold_rule}, "
            f"fitted by {fitted.threshold_rule}"
        )
    for name in ("threshold", "slope", "intercept"):
        ours, theirs = getattr(shipped, name), getattr(fitted, name)
        if not abs(ours - theirs) <= TOLERANCE:
            sentences.append(f"{name} of {shipped.name}: shipped {ours:.4f}, fitted {theirs:.4f}")
    return sentences
