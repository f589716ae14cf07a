"""What a detector's score means: how likely a box of that score is right, and which are shown.

A network's score ranks boxes and means nothing by itself. Here it becomes a probability,
sigmoid(slope * logit(score) + intercept): one slope for all regions, and an intercept for each that
stays near the common one, for some have a dozen boxes. It rises with the score, so no order of
boxes of one kind changes. A box is right where a box of its kind was drawn with an IoU of at least
0.5; of kinds that nobody looked for on an image, nothing is learnt.

It is fitted on the annotated validation radiographs and as many ordinary ones without a finding of
each size of file: on diseased radiographs alone, boxes are right more often than they are in use.
What is measured of it is measured on patients whom the fit has not seen.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from cxr_contracts import LabelSpec, MetricRow, ModelManifest
from cxr_detector.calibration import calibrated, logit
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import AnnotatedImage, as_background
from cxr_training.data.nih import read_boxed
from cxr_training.data.splits import NIH_FOLDER, Split, split_sha256
from cxr_training.detector.card import render_card
from cxr_training.detector.evaluation import (
    IN_USE,
    RESAMPLES,
    Sample,
    detect_published,
    evaluate,
    is_of_calibration,
    known_only,
    match_all,
    only_of,
)
from cxr_training.detector.published import members_of, own_annotations, regions_of_manifest
from cxr_training.export.publishing import write_manifest
from cxr_training.metrics.bootstrap import FloatArray, ratio, weighted_shares
from cxr_training.metrics.classification import expected_calibration_errors
from cxr_training.metrics.detection import (
    Matches,
    at_thresholds,
    shipped_thresholds,
    thresholds_in_use,
)
from cxr_training.report.tables import differing_figures

FOLDS = 5
# Boxes below are nearly all wrong, and so many that they alone would decide.
LEAST_SCORE = 0.01
# Of a region's intercept about the common one: a region of many boxes leaves it freely.
_SPREAD = 0.5
# Of probabilities, whose boxes' share of right ones is stated.
BINS = ((0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1.0))
OWN_SCORE, CALIBRATED = "detector's score", "calibrated"
AT_THRESHOLDS = ("sensitivity", "precision", "false_boxes", "clear_images_marked")
_TOLERANCE = 2e-3
# Resamples at once: of tens of thousands of boxes, more would need gigabytes.
_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of the regions of a detector, in its order."""

    slope: float
    intercepts: FloatArray
    """[regions]."""

    def of(self, matches: Matches) -> FloatArray:
        """[D], how likely each detection is right."""
        return calibrated(matches.score, self.slope, self.intercepts[matches.label])

    def labels(self, manifest: ModelManifest) -> list[LabelSpec]:
        """The labels of the detector's manifest with these constants."""
        slope = round(self.slope, 4)
        return [
            label.model_copy(update={"slope": slope, "intercept": round(float(intercept), 4)})
            for label, intercept in zip(manifest.labels, self.intercepts, strict=True)
        ]


def calibrate_published(model: Path, data: Path) -> ModelManifest:
    """Fit and publish calibration and thresholds of the detector in `model`, with their figures.

    Its figures of validation patients are measured anew, for some follow from the thresholds; so do
    some of test patients, which are taken out until `evaluate --split test` measures them.

    Raises:
        DataError: the data is not as published, or is a test set.
        ModelFolderError: the folder is not what its manifest says.
        PublishError: no box at all is right.
    """
    folder = open_model_folder(model, "detector")
    found = Found.on_validation(folder, data)
    regions = regions_of_manifest(folder.manifest)
    calibration = fit(found.matches)
    thresholds = thresholds_in_use(found.matches, len(regions))
    labels = [
        label.model_copy(
            update={"threshold": round(threshold.score, 4), "threshold_rule": threshold.rule}
        )
        for label, threshold in zip(calibration.labels(folder.manifest), thresholds, strict=True)
    ]
    annotated = evaluate(
        found.annotated_matches, found.annotated, regions, thresholds=shipped_thresholds(labels)
    )
    # A patient is validated on by a hash of the number: never trained on, in whatever part of the
    # data. Of which part the figures are, the split of the manifest says from now on.
    evaluated_on = {"split_sha256": found.split_sha256, "n_validation": len(found.annotated)}
    # Those of test patients at thresholds were at others.
    reported = [
        row
        for row in folder.manifest.metrics
        if row.split == Split.TEST.value and row.name not in AT_THRESHOLDS
    ]
    changes = {
        "labels": labels,
        "metrics": [*annotated.metrics, *rows_of(found), *reported],
        "data": folder.manifest.data.model_copy(update=evaluated_on),
    }
    manifest = folder.manifest.model_copy(update=changes)
    write_manifest(manifest, model, render_card(manifest))
    return manifest


def verify_calibration(model: Path, data: Path) -> list[str]:
    """Where the manifest's calibration differs from what is measured, a sentence each.

    Raises:
        DataError, ModelFolderError, PublishError: as `calibrate_published`.
    """
    folder = open_model_folder(model, "detector")
    found = Found.on_validation(folder, data)
    manifest = folder.manifest
    published = [row for row in manifest.metrics if is_of_calibration(row)]
    sentences = differing_figures(published, rows_of(found), _TOLERANCE)
    calibration = fit(found.matches)
    thresholds = thresholds_in_use(found.matches, len(manifest.labels))
    for label, intercept, threshold in zip(
        manifest.labels, calibration.intercepts, thresholds, strict=True
    ):
        for name, said, measured in (
            ("slope", label.slope, calibration.slope),
            ("intercept", label.intercept, float(intercept)),
            ("threshold", label.threshold, threshold.score),
        ):
            # Constants move more than figures where a score rounds otherwise.
            if not abs(said - measured) <= 10 * _TOLERANCE:
                sentences.append(
                    f"{name} of {label.name}: published {said:.4f}, fitted {measured:.4f}"
                )
    return sentences


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector finds on the annotated and the ordinary radiographs of a split."""

    split_sha256: str
    images: list[AnnotatedImage]
    annotated: list[AnnotatedImage]
    """The first of `images`."""
    matches: Matches
    """Of known classes alone."""
    annotated_matches: Matches
    """Of all classes, on `annotated`."""

    @classmethod
    def on_validation(cls, folder: ModelFolder, data: Path) -> Self:
        """On validation patients; the exceptions are those of `calibrate_published`."""
        annotations = own_annotations(members_of(folder)[0].manifest, data)
        regions = regions_of_manifest(folder.manifest)
        annotated = only_of(annotations.of(Split.VALIDATION), regions)
        images = [*annotated, *only_of(ordinary(data, annotated), regions)]
        detections = detect_published(folder, images)
        found = [detections[image.name] for image in images]
        matches = match_all(found, images, regions)
        return cls(
            split_sha256(annotations.splits),
            images,
            annotated,
            known_only(matches, images, regions),
            match_all(found[: len(annotated)], annotated, regions),
        )


def ordinary(
    data: Path, annotated: Sequence[AnnotatedImage], seed: int = 8
) -> list[AnnotatedImage]:
    """Validation patients' radiographs without a finding: as large a share of every file size.

    As `annotated` has of it, that is: else the size would tell the annotated ones apart.
    """
    taken = {image.name for image in annotated}
    available: defaultdict[int, list[AnnotatedImage]] = defaultdict(list)
    for radiograph in read_boxed(data / NIH_FOLDER).of(Split.VALIDATION):
        if not radiograph.findings and radiograph.name not in taken:
            image = as_background(radiograph, Split.VALIDATION)
            available[image.side_px].append(image)
    wanted = Counter(image.side_px for image in annotated)
    share = min([1.0, *(len(available[side]) / count for side, count in wanted.items())])
    chooser = random.Random(seed)  # noqa: S311 - no secret
    chosen = [
        image
        for side, count in sorted(wanted.items())
        for image in chooser.sample(
            sorted(available[side], key=lambda one: one.name), int(share * count)
        )
    ]
    return sorted(chosen, key=lambda image: image.name)


def fit(matches: Matches) -> Calibration:
    """The most probable constants, each region's intercept about the common one.

    Raises:
        PublishError: no box is right: nothing says what a score means.
    """
    chosen = matches.score >= LEAST_SCORE
    z, label, right = logit(matches.score[chosen]), matches.label[chosen], matches.hit[chosen, 0]
    if not right.any():
        raise PublishError("no box of this detector is right: its scores mean nothing")
    n = matches.truth.shape[1]

    def loss(constants: FloatArray) -> tuple[float, FloatArray]:
        slope, common, own = constants[0], constants[1], constants[2:]
        said = slope * z + common + own[label]
        miss = _sigmoid(said) - right
        value = float((np.logaddexp(0.0, said) - right * said).sum())
        value += float((own**2).sum()) / (2 * _SPREAD**2)
        by_region = np.bincount(label, miss, minlength=n) + own / _SPREAD**2
        return value, np.concatenate([[(miss * z).sum(), miss.sum()], by_region])

    # A slope above 0: a better score is never the less likely.
    bounds = [(0.05, 5.0), (-10.0, 10.0), *[(-5.0, 5.0)] * n]
    found = minimize(
        loss, np.array([1.0, 0.0, *[0.0] * n]), jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    return Calibration(float(found[0]), found[1] + found[2:])


def held_out(matches: Matches, patients: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Of each detection, by constants fitted to the other folds' patients: [D] and [D].

    How likely it is right; and the threshold of its region.
    """
    fold = np.array([_fold_of(patient) for patient in patients])
    of_box = fold[matches.image]
    probability, limit = np.zeros(len(matches.score)), np.zeros(len(matches.score))
    for left_out in np.unique(fold):
        inside = of_box == left_out
        truth = np.where((fold == left_out)[:, np.newaxis], 0, matches.truth)
        others = matches.keep(~inside, truth)
        probability[inside] = fit(others).of(matches)[inside]
        thresholds = thresholds_in_use(others, matches.truth.shape[1])
        limits = np.array([threshold.score for threshold in thresholds])
        limit[inside] = limits[matches.label[inside]]
    return probability, limit


def rows_of(found: Found, resamples: int = RESAMPLES) -> list[MetricRow]:
    """The figures of a calibration and of thresholds, on patients whom their fit has not seen."""
    matches, sample = found.matches, Sample(found.images, resamples)
    probability, limit = held_out(matches, [image.patient for image in found.images])
    chosen = matches.score >= LEAST_SCORE
    right, image = matches.hit[chosen, 0], matches.image[chosen]
    boxes = int(matches.truth.sum())
    rows: list[MetricRow] = []
    for subset, said in ((OWN_SCORE, matches.score[chosen]), (CALIBRATED, probability[chosen])):
        clipped = np.clip(said, 1e-6, 1 - 1e-6)
        loss = -np.log(np.where(right, clipped, 1 - clipped))
        rows += sample.row("box_log_loss", subset, _mean(loss, image, sample), boxes=boxes)
        parts = range(_CHUNK, len(sample.weights), _CHUNK)
        errors = np.concatenate(
            [
                expected_calibration_errors(right, said, part[:, image])
                for part in np.split(sample.weights, parts)
            ]
        )
        rows += sample.row("box_calibration_error", subset, errors, boxes=boxes)
    for low, high in BINS:
        inside = (probability[chosen] >= low) & (probability[chosen] < high)
        subset = f"probability {low:g} to {high:g}"
        for name, values in (("boxes_right", right), ("mean_probability", probability[chosen])):
            draws = _mean(values[inside].astype(float), image[inside], sample)
            rows += sample.row(name, subset, draws, boxes=int(inside.sum()))
    for name, draws in _in_use(matches, limit, sample).items():
        rows += sample.row(name, IN_USE, draws, boxes=boxes)
    return rows


def _in_use(matches: Matches, limit: FloatArray, sample: Sample) -> Mapping[str, FloatArray]:
    """What is shown above each detection's threshold, as it is with ordinary radiographs."""
    n = len(sample.images)
    above = matches.score >= limit
    shown = matches.keep(above, matches.truth)
    named = at_thresholds(shown, np.zeros(matches.truth.shape[1]), sample.weights)
    marked = np.bincount(shown.image, minlength=n) > 0
    clear = matches.truth.sum(axis=1) == 0
    named["clear_images_marked"] = weighted_shares(sample.weights, clear, marked)
    return {name: named[name] for name in AT_THRESHOLDS}


def _mean(values: FloatArray, image: npt.NDArray[np.intp], sample: Sample) -> FloatArray:
    """The mean over boxes in each resample of the images: [1 + resamples]."""
    n = len(sample.images)
    total, boxes = (np.bincount(image, one, minlength=n) for one in (values, None))
    return ratio(sample.weights @ total, sample.weights @ boxes)


def _sigmoid(z: FloatArray) -> FloatArray:
    # tanh does not overflow.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


def _fold_of(patient: str) -> int:
    """By the patient's number alone."""
    digest = hashlib.sha256(f"cxr-calibration-1:{patient}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % FOLDS
