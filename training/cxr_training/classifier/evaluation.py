"""The figures of a published classifier on a split, from its own files, run as they are served."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import LabelSpec, MetricRow, ModelManifest
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.classifier.calibration import (
    LEVELS_METHOD,
    Decisions,
    fitted_decisions,
    fitted_levels,
    shipped_decisions,
    with_levels,
)
from cxr_training.classifier.config import Evaluation, evaluation_of
from cxr_training.classifier.localisation import FIGURES as MAP_FIGURES
from cxr_training.classifier.localisation import evaluate_maps
from cxr_training.classifier.metrics import for_manifest, metric_rows
from cxr_training.classifier.predictions import Predictions, predict
from cxr_training.classifier.samples import Samples, as_samples, read_samples
from cxr_training.core.errors import PublishError
from cxr_training.data.errors import DataError
from cxr_training.data.splits import NIH_FOLDER, Split, split_sha256
from cxr_training.data.test_set import read_test_set
from cxr_training.report.tables import differing_figures, of_split

# ONNX Runtime and PyTorch give logits that differ in the sixth digit, and another processor may
# round a resized image otherwise. Neither moves an AUROC by this much; a changed network, data
# set or figure does.
TOLERANCE = 2e-3
# On test patients means count findings with at least so many positives.
TEST_MIN_POSITIVES = 20
# How a model is evaluated whose manifest does not say how its figures were made.
_PLAIN = Evaluation(resamples=1000, calibration_folds=5, min_positives=10)
_PLAIN_SEED, _PLAIN_COARSE_PX = 1, 64
_FITTED = ("threshold_rule", "threshold", "slope", "intercept")
_MEASURED = ("sensitivity", "specificity", "precision")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model is evaluated.

    `fitted`: its calibration and thresholds were fitted on these very patients, so both are
    cross-fitted. Else they are evaluated as shipped.
    """

    evaluation: Evaluation
    seed: int
    coarse_px: int
    fitted: bool


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """A model and what was found of it; `rows` are all figures, in full.

    `on` are the options that name the data, without the folders of this machine.
    """

    manifest: ModelManifest
    split: Split
    on: str
    split_sha256: str
    rules: Rules
    predictions: Predictions
    decisions: Decisions
    rows: list[MetricRow]


def evaluate_model(
    model: Path,
    data: Path | None,
    split: Split,
    manifests: Sequence[Path] = (),
    *,
    as_published: bool = False,
    with_maps: bool = True,
) -> ModelEvaluation:
    """Evaluate the model folder `model`.

    Args:
        model: the folder.
        data: holds `nih/`, and `chestx-det/` if maps are to be evaluated on its boxes, too, and
            for test patients `test/`; None for `manifests` alone, whose images nobody boxed.
        split: validation or test.
        manifests: CSV manifests to evaluate on, too; of validation patients alone.
        as_published: refuse other validation patients than those of the manifest's figures.
        with_maps: evaluate the maps, too.

    Raises:
        DataError: the data set is not as published, or has no test set.
        PublishError: the manifest does not say in a known way how its figures were made; or
            `as_published`, and the patients are others.
        ModelFolderError: the folder is not what its manifest says.
    """
    folder = open_model_folder(model, "classifier")
    held_out = None
    if split is Split.TEST:
        if data is None or manifests:
            raise DataError(data or manifests[0], "test patients are those of --data alone")
        held_out = read_test_set(data)
        samples = as_samples(held_out.collection)
    else:
        samples = read_samples(None if data is None else data / NIH_FOLDER, manifests)
    patients = split_sha256(samples.patient_splits)
    rules = rules_of(folder.manifest, split, patients)
    if as_published and split is Split.VALIDATION and not rules.fitted:
        raise PublishError(
            f"{folder.manifest.name} was evaluated on other patients (split "
            f"{folder.manifest.data.split_sha256[:12]}) than those of this data set "
            f"({patients[:12]}): there is nothing to compare"
        )
    on = ["--data $DATA"] if data else []
    on += [f"--manifest {path.name}" for path in manifests]
    found = evaluate_samples(folder, samples, split, rules, " ".join(on))
    maps = evaluate_maps(folder, data, held_out) if data and with_maps else []
    return replace(found, rows=[*found.rows, *maps])


def evaluate_samples(
    folder: ModelFolder, samples: Samples, split: Split, rules: Rules, on: str = "--data $DATA"
) -> ModelEvaluation:
    """Evaluate the model on images that are read already, without its maps; `on`: their options.

    Raises:
        DataError, ModelFolderError: as `predict`.
    """
    predictions = predict(folder, samples, split, rules.coarse_px)
    decisions = (
        fitted_decisions(predictions, rules.evaluation, rules.seed)
        if rules.fitted
        else shipped_decisions(predictions, folder.manifest.labels)
    )
    return ModelEvaluation(
        manifest=folder.manifest,
        split=split,
        on=on,
        split_sha256=split_sha256(samples.patient_splits),
        rules=rules,
        predictions=predictions,
        decisions=decisions,
        rows=metric_rows(predictions, decisions, rules.evaluation, rules.seed),
    )


def rules_of(manifest: ModelManifest, split: Split, patients: str) -> Rules:
    """How the manifest's figures were made; plain rules where it has none.

    Args:
        manifest: of the model.
        split: that it is to be evaluated on.
        patients: sha256 of the split's list of patients.

    Raises:
        PublishError: its recipe is of another form.
    """
    recipe = manifest.training.recipe
    if not (manifest.metrics and recipe):
        # Nothing of it was fitted by us, e.g. an imported model.
        evaluation = _PLAIN if split is Split.VALIDATION else _stricter(_PLAIN)
        return Rules(evaluation, _PLAIN_SEED, _PLAIN_COARSE_PX, fitted=False)
    try:
        rules = Rules(
            evaluation=evaluation_of(recipe),
            seed=int(recipe["seed"]),
            coarse_px=int(recipe["augmentation"]["coarsest_px"]),
            fitted=split is Split.VALIDATION and manifest.data.split_sha256 == patients,
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise PublishError(
            f"the manifest of {manifest.name} carries figures, but its recipe does not say how "
            f"they were made: {error}"
        ) from error
    if split is Split.TEST:
        return replace(rules, evaluation=_stricter(rules.evaluation))
    return rules


def _stricter(evaluation: Evaluation) -> Evaluation:
    return evaluation.model_copy(update={"min_positives": TEST_MIN_POSITIVES})


def verify(model: Path, data: Path | None, manifests: Sequence[Path] = ()) -> list[str]:
    """What the figures of the model's manifest are not, measured again; a sentence each.

    Raises:
        DataError, ModelFolderError: as `evaluate_model`.
        PublishError: the manifest carries no figures, or those of other validation patients.
    """
    manifest = open_model_folder(model, "classifier").manifest
    found = [split for split in (Split.VALIDATION, Split.TEST) if of_split(manifest.metrics, split)]
    if not found:
        raise PublishError(f"the manifest of {manifest.name} carries no figures to compare with")
    return [
        f"{split}: {sentence}"
        for split in found
        for sentence in differences(
            evaluate_model(model, data, split, manifests, as_published=True)
        )
    ]


def differences(evaluated: ModelEvaluation) -> list[str]:
    """Where the manifest says otherwise than what was measured, a sentence each."""
    manifest = evaluated.manifest
    published = of_split(manifest.metrics, evaluated.split)
    named = {(row.name, row.subset) for row in published}
    measured = for_manifest(evaluated.rows)
    known = [row for row in measured if (row.name, row.subset) in named]
    sentences = differing_figures(published, known, TOLERANCE)
    found = {label.name: label for label in evaluated.decisions.labels}
    for label in manifest.labels:
        fitted = evaluated.rules.fitted
        sentences += _label_differences(label, found[label.name], fitted=fitted)
    if len(known) < len(measured):
        # In one sentence: a model published before a figure was thought of lacks all of a kind.
        new = dict.fromkeys(row.name for row in measured if (row.name, row.subset) not in named)
        n = len(measured) - len(known)
        sentences.append(f"{n} figures measured, but not published: {', '.join(new)}")
    return sentences


def _label_differences(shipped: LabelSpec, found: LabelSpec, *, fitted: bool) -> list[str]:
    """Where a label is not what these patients give: of `fitted` patients its constants, too.

    What its levels mean is published of one split's patients, and compared on those.
    """
    if shipped.levels is None or found.levels is None:
        missing = f"{shipped.name} has no evidence levels: run `cxr classifier levels`"
        return [missing] if fitted else []
    pairs: dict[str, tuple[str | float | None, str | float | None]] = {}
    if fitted:
        pairs = {name: (getattr(shipped, name), getattr(found, name)) for name in _FITTED}
        pairs["likely"] = (shipped.levels.likely.threshold, found.levels.likely.threshold)
    for level in ("possible", "likely"):
        points = getattr(shipped.levels, level), getattr(found.levels, level)
        for figure in _MEASURED if points[0].split == points[1].split else ():
            said, measured = (getattr(point, figure) for point in points)
            pairs[f"{figure} of {level}"] = (said and said.value, measured and measured.value)
    return [
        f"{name} of {shipped.name}: shipped {_shown(said)}, measured {_shown(measured)}"
        for name, (said, measured) in pairs.items()
        if not _alike(said, measured)
    ]


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    return one == other


def _shown(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def with_test_figures(evaluated: ModelEvaluation) -> ModelManifest:
    """The manifest with these figures of test patients in place of those that it carried.

    They are what its levels are then said to mean.
    """
    kept = of_split(evaluated.manifest.metrics, Split.VALIDATION)
    metrics = [*kept, *for_manifest(evaluated.rows)]
    measured = {label.name: label.levels for label in evaluated.decisions.labels}
    labels = [
        label.model_copy(update={"levels": measured[label.name]})
        for label in evaluated.manifest.labels
    ]
    return evaluated.manifest.model_copy(update={"metrics": metrics, "labels": labels})


def with_fitted_levels(
    model: Path, data: Path | None, manifests: Sequence[Path] = ()
) -> ModelManifest:
    """The manifest of the published `model` with levels fitted to validation patients.

    Network and calibration stay as they are. What hangs on a threshold is measured again; figures
    of test patients go, for they were those of other thresholds.

    Args:
        model: the folder.
        data: as in `evaluate_model`.
        manifests: as in `evaluate_model`.

    Raises:
        DataError, ModelFolderError, PublishError: as `evaluate_model`.
    """
    found = evaluate_model(model, data, Split.VALIDATION, manifests, with_maps=False)
    manifest = found.manifest
    calibrated = shipped_decisions(found.predictions, manifest.labels).probabilities
    levels = fitted_levels(found.predictions, calibrated)
    labels = with_levels(manifest.labels, levels, found.predictions.labels)
    # Of a model that was fitted elsewhere there are no figures of these patients that would not
    # flatter it: they chose its thresholds.
    maps = [x for x in of_split(manifest.metrics, Split.VALIDATION) if x.name in MAP_FIGURES]
    rows = [*for_manifest(found.rows), *maps] if found.rules.fitted else []
    extra = manifest.extra | {"threshold": LEVELS_METHOD, "levels_split_sha256": found.split_sha256}
    return manifest.model_copy(update={"labels": labels, "metrics": rows, "extra": extra})
