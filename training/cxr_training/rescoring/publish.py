"""From both models' predictions to the rescoring that the gateway reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from cxr_contracts import (
    LOWEST_MIN_SCORE,
    RegionRescoring,
    RescoringData,
    RescoringFit,
    RescoringManifest,
)
from cxr_training.core.errors import PublishError
from cxr_training.core.runs import command_line, current_commit, portable_command, utc_now
from cxr_training.data.annotations import REGIONS
from cxr_training.data.splits import Split
from cxr_training.detector.evaluation import RESAMPLES
from cxr_training.export.publishing import LICENCE
from cxr_training.metrics.detection import FloatArray
from cxr_training.metrics.thresholds import Threshold, rescored_thresholds
from cxr_training.rescoring.evaluation import (
    ALL,
    BASELINE,
    LIFTED,
    compare,
    is_worth_it,
    manifest_thresholds,
)
from cxr_training.rescoring.fit import FOLDS, Constants, detector_alone, held_out, lifted
from cxr_training.rescoring.predictions import REGION_FINDINGS, ModelPair, Predictions

_SMALLEST_STEP = 1e-3


def fit_rescoring(
    predictions: Predictions, models: ModelPair, split_sha256: str, *, resamples: int = RESAMPLES
) -> RescoringManifest:
    """Constants of all validation patients, and figures of patients whom they have not seen.

    `fit.rule_form` says whether it is worth it (`evaluation.is_worth_it`).
    """
    detector = models.detector.manifest
    scored = {
        BASELINE: held_out(detector_alone, predictions),
        LIFTED: held_out(lifted, predictions),
    }
    own = manifest_thresholds(detector)
    thresholds = rescored_thresholds(predictions.matches(scored[LIFTED].scores), len(REGIONS))
    by_form = {BASELINE: own, LIFTED: thresholds}
    comparison = compare(predictions, scored, by_form, resamples=resamples)
    constants = lifted(predictions)
    lowest = lowest_useful(predictions, constants.scores(predictions), thresholds)
    lowest = min(lowest, *(threshold.score for threshold in own))
    drawn = predictions.known_truth.sum(axis=0)
    classifier, found_by = models.identities
    return RescoringManifest(
        schema_version=1,
        role="rescoring",
        name=f"{classifier.name}--{found_by.name}",
        created_at=utc_now(),
        licence=LICENCE,
        classifier=classifier,
        detector=found_by,
        min_score=max(LOWEST_MIN_SCORE, round(lowest // _SMALLEST_STEP * _SMALLEST_STEP, 3)),
        max_boxes=int(detector.extra["max_boxes"]),
        regions=[
            RegionRescoring(
                region=region,
                finding=REGION_FINDINGS[label],
                score_weight=round(float(constants.score_weight[label]), 6),
                probability_weight=round(float(constants.probability_weight[label]), 6),
                intercept=round(float(constants.intercept[label]), 6),
                threshold=thresholds[label].score,
                threshold_rule=thresholds[label].rule,
                n_boxes=int(drawn[label]),
            )
            for label, region in enumerate(REGIONS)
        ],
        data=RescoringData(
            split=Split.VALIDATION.value,
            split_sha256=split_sha256,
            n_images=len(predictions.patients),
            n_patients=len(np.unique(predictions.patients)),
            n_boxes=int(drawn.sum()),
        ),
        fit=RescoringFit(
            command=portable_command(command_line()),
            commit=current_commit(),
            form=LIFTED,
            rule_form=LIFTED if is_worth_it(comparison.figures[ALL]) else BASELINE,
            folds=FOLDS,
        ),
        metrics=comparison.metrics,
    )


def on_test_patients(
    manifest: RescoringManifest, predictions: Predictions, models: ModelPair
) -> RescoringManifest:
    """The published rescoring with the figures of test patients in place of its own."""
    centres = predictions.mean_class_logits()
    scored = {
        BASELINE: detector_alone(predictions).scored(predictions, centres),
        LIFTED: Constants.of(manifest).scored(predictions, centres),
    }
    by_region = {one.region: one for one in manifest.regions}
    published = [
        Threshold(by_region[region].threshold, by_region[region].threshold_rule)
        for region in REGIONS
    ]
    thresholds = {BASELINE: manifest_thresholds(models.detector.manifest), LIFTED: published}
    comparison = compare(predictions, scored, thresholds, split=Split.TEST)
    return manifest.model_copy(update={"metrics": comparison.metrics})


def lowest_useful(
    predictions: Predictions, scores: FloatArray, thresholds: Sequence[Threshold]
) -> float:
    """The detector's score below which no box reaches its threshold; 1 where none is shown."""
    limits = np.array([threshold.score for threshold in thresholds])
    shown = scores >= limits[predictions.label]
    return float(predictions.score[shown].min(initial=1.0))


def read_rescoring(path: Path, models: ModelPair) -> RescoringManifest:
    """The published rescoring; PublishError where there is none of these models."""
    try:
        manifest = RescoringManifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise PublishError(f"{path} is no rescoring: {error}") from error
    if (manifest.classifier, manifest.detector) != models.identities:
        raise PublishError(f"{path} was fitted to other models: run make fit-rescoring")
    return manifest


def write_rescoring(manifest: RescoringManifest, path: Path) -> None:
    """Through a temporary file, so that a gateway never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(manifest.model_dump_json(indent=2) + "\n")
    partial.rename(path)
