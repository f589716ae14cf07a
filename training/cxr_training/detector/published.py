"""Published detectors measured from their own files, side by side, and held to their manifests.

Everything a manifest says is measured again, from the pixels of the radiographs to the figures,
through the service's own code.

A detector's own figures are of the images and the regions that its boxes came with: eight regions
on NIH's images say nothing beside thirteen on ChestX-Det's. So every detector is evaluated on three
benchmark subsets as well: the images that NIH boxed, with NIH's boxes; those that ChestX-Det
annotated, with its boxes; and both. On each the mean is taken over the six regions that both mark
(`classes=shared`), and over all that the subset marks (`classes=all`), where a detector knows them
all. Only known classes count there (rule 3 of `annotations`): NIH boxed one or two findings of an
image, and a right box of another must not count as false.

`evaluate` writes what it measures into the manifest: on validation patients figures and thresholds,
unless `calibrate` has made them; on test patients figures, and nothing is chosen on them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_contracts import MetricRow, ModelManifest, Region
from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import (
    CHESTX_DET,
    NIH,
    REGIONS,
    SET_NAMES,
    AnnotatedImage,
    Annotations,
    limit_images,
    read_annotations,
    read_test_annotations,
    regions_of,
)
from cxr_training.data.splits import Split, split_sha256
from cxr_training.data.test_set import read_test_set
from cxr_training.detector.card import render_card
from cxr_training.detector.evaluation import (
    AT_50,
    FALSE_BOXES_PER_IMAGE,
    RESAMPLES,
    ImageDetections,
    Sample,
    detect_published,
    detections_on,
    evaluate,
    is_calibrated,
    is_of_calibration,
    known_only,
    match_all,
    only_of,
    subset_rows,
)
from cxr_training.export.publishing import write_manifest
from cxr_training.metrics.bootstrap import FloatArray
from cxr_training.metrics.detection import (
    Matches,
    Threshold,
    average_precision,
    froc_curve,
    froc_sensitivity,
    is_by_this_rule,
    mean_average_precision,
    shipped_thresholds,
)
from cxr_training.report.tables import differing_figures, of_split


def write_test_figures(model: Path, manifest: ModelManifest, rows: Sequence[MetricRow]) -> None:
    """Put the figures of test patients into the manifest and the card of the folder `model`."""
    kept = [row for row in manifest.metrics if row.split != Split.TEST.value]
    renewed = manifest.model_copy(update={"metrics": [*kept, *rows]})
    write_manifest(renewed, model, render_card(renewed))


def write_validation_figures(model: Path, measured: "PublishedEvaluation") -> None:
    """Put figures and thresholds of validation patients into manifest and card of the folder.

    Those of a calibrated detector are `calibrate`'s, and stay as they are.
    """
    manifest = measured.manifest
    if is_calibrated(manifest):
        return
    labels = [
        label.model_copy(update={"threshold": round(one.score, 4), "threshold_rule": one.rule})
        for label, one in zip(manifest.labels, measured.thresholds, strict=True)
    ]
    [mean] = [row for row in measured.rows if (row.name, row.subset) == ("map50", "all")]
    measured_on = {"split_sha256": measured.split_sha256, "n_validation": mean.n}
    changes = {
        "labels": labels,
        "metrics": [*measured.rows, *of_split(manifest.metrics, Split.TEST)],
        "data": manifest.data.model_copy(update=measured_on),
    }
    renewed = manifest.model_copy(update=changes)
    write_manifest(renewed, model, render_card(renewed))


SHARED_REGIONS = tuple(r for r in REGIONS if r in NIH.regions & CHESTX_DET.regions)
SUBSETS: Mapping[str, tuple[str, ...]] = {
    NIH.name: (NIH.name,),
    CHESTX_DET.name: (CHESTX_DET.name,),
    "both": SET_NAMES,
}
# False boxes an image at which the FROC curves are drawn.
CURVE_RATES: FloatArray = np.geomspace(0.05, 8.0, 40)
# ONNX Runtime and PyTorch give scores that differ in the sixth digit, and another processor may
# round a resized image otherwise. A changed network, data set or figure moves more than this.
TOLERANCE = 2e-3


@dataclass(frozen=True, slots=True)
class BenchmarkSubset:
    """Images of one split, and whose boxes lie on them."""

    name: str
    """A key of `SUBSETS`."""
    regions: tuple[Region, ...]
    """All that are marked there."""
    images: tuple[AnnotatedImage, ...]


@dataclass(frozen=True, slots=True)
class SubsetResult:
    """How a detector does on one benchmark subset over one set of regions."""

    map50: FloatArray
    """[1 + resamples]: mAP50 over known classes, of the images and of their resamples."""
    sample: Sample
    boxes: int
    curve: FloatArray
    """Share of the boxes that is found at each of `CURVE_RATES`."""


@dataclass(frozen=True, slots=True)
class PublishedEvaluation:
    """A published detector and what was measured of it."""

    manifest: ModelManifest
    sets: tuple[str, ...]
    """Whose boxes it learnt, and so is evaluated on by itself."""
    split_sha256: str
    rows: list[MetricRow]
    """The figures that a manifest states, on the detector's own images and regions."""
    thresholds: list[Threshold]
    """Chosen on these patients where the manifest's were; else the manifest's."""
    curve: FloatArray
    """As `SubsetResult.curve`, on its own images."""
    subsets: dict[str, SubsetResult]
    """E.g. by `boxes=nih/classes=shared`."""
    subset_rows: list[MetricRow]
    onnx_bytes: int
    """Of all its networks."""
    resamples: int


def read_benchmark(data: Path, split: Split) -> list[BenchmarkSubset]:
    """The three subsets of validation or test patients; DataError as `read_annotations`."""
    read = read_test_annotations if split is Split.TEST else read_annotations
    return [
        BenchmarkSubset(name, regions_of(sets), tuple(read(data, sets=sets).of(split)))
        for name, sets in SUBSETS.items()
    ]


def regions_of_manifest(manifest: ModelManifest) -> tuple[Region, ...]:
    """What the detector of a manifest knows, in the order of its labels."""
    return tuple(Region(label.name) for label in manifest.labels)


def sets_of(manifest: ModelManifest) -> tuple[str, ...]:
    """Whose boxes the detector learnt.

    Raises:
        PublishError: its recipe does not say, though it carries figures.
    """
    sets = (manifest.training.recipe.get("data") or {}).get("sets")
    if sets:
        return tuple(sets)
    if manifest.metrics:
        raise PublishError(
            f"the manifest of {manifest.name} carries figures, but its recipe does not say on "
            "whose boxes (data.sets)"
        )
    known = set(regions_of_manifest(manifest))
    return next(
        (sets for sets in SUBSETS.values() if known <= set(regions_of(sets))), SUBSETS["both"]
    )


def own_annotations(
    manifest: ModelManifest, data: Path, split: Split = Split.VALIDATION
) -> Annotations:
    """The radiographs of a detector's own figures; PublishError as `sets_of`, DataError."""
    recipe, sets = manifest.training.recipe, sets_of(manifest)
    if split is Split.TEST:
        return read_test_annotations(data, sets=sets)
    most = (recipe.get("data") or {}).get("max_images")
    return limit_images(read_annotations(data, sets=sets), most, recipe.get("seed", 0))


def evaluate_published(
    model: Path,
    data: Path,
    benchmark: Sequence[BenchmarkSubset],
    *,
    split: Split = Split.VALIDATION,
    resamples: int = RESAMPLES,
) -> PublishedEvaluation:
    """Evaluate the model folder `model` on validation or test patients.

    Args:
        model: the folder.
        data: the folder that holds nih/ and chestx-det/.
        benchmark: the subsets of the same patients to evaluate on as well.
        split: whose patients.
        resamples: of the patients.

    Raises:
        DataError: the data is not as published.
        ModelFolderError: the folder is not what its manifest says.
        PublishError: as `sets_of`.
    """
    folder = open_model_folder(model, "detector")
    manifest, members = folder.manifest, members_of(folder)
    # What is fused is evaluated as its members are.
    annotations = own_annotations(members[0].manifest, data, split)
    own, patients = regions_of_manifest(manifest), split_sha256(annotations.splits)
    images = only_of(annotations.of(split), own)
    needed = {image.name: image for subset in benchmark for image in subset.images}
    detections = detect_published(folder, {**needed, **{i.name: i for i in images}}.values())
    matches = match_all(detections_on(detections, images, own, own), images, own)
    # In whatever part of the data: validation patients are those by a hash of their numbers.
    again = split is Split.VALIDATION and all(
        is_by_this_rule(label.threshold_rule) for label in manifest.labels
    )
    thresholds = None if again else shipped_thresholds(manifest.labels)
    evaluation = evaluate(matches, images, own, thresholds=thresholds, resamples=resamples)
    own_rows = evaluation.metrics
    if split is Split.TEST:
        people = read_test_set(data).boxed.images
        of_people = {
            "view": [people[image.name].view for image in images],
            "sex": [people[image.name].sex for image in images],
        }
        own_rows = [*own_rows, *subset_rows(matches, Sample(images, resamples), of_people)]
    results: dict[str, SubsetResult] = {}
    rows: list[MetricRow] = []
    for subset in benchmark:
        on_subset, its_rows = _evaluate_on(subset, detections, own, resamples)
        results |= on_subset
        rows += its_rows
    return PublishedEvaluation(
        manifest=manifest,
        sets=sets_of(members[0].manifest),
        split_sha256=patients,
        rows=own_rows,
        thresholds=evaluation.thresholds,
        curve=froc_curve(matches, CURVE_RATES),
        subsets=results,
        subset_rows=rows,
        onnx_bytes=sum(member.manifest.onnx.bytes for member in members),
        resamples=resamples,
    )


def verify_published(model: Path, data: Path, *, resamples: int = RESAMPLES) -> list[str]:
    """Where the manifest of `model` says otherwise than what is measured, a sentence each.

    Raises:
        PublishError: the manifest carries no figures, or those of other patients.
        DataError, ModelFolderError: as `evaluate_published`.
    """
    folder = open_model_folder(model, "detector")
    manifest = folder.manifest
    if not manifest.metrics:
        raise PublishError(f"the manifest of {manifest.name} carries no figures to verify")
    # Before an image is read.
    patients = split_sha256(own_annotations(members_of(folder)[0].manifest, data).splits)
    if not is_comparable(manifest, patients):
        raise PublishError(
            f"{manifest.name} was evaluated on other patients (split "
            f"{manifest.data.split_sha256[:12]}) than those of this data set "
            f"({patients[:12]}): there is nothing to compare"
        )
    measured = evaluate_published(model, data, (), resamples=resamples)
    # Those of calibration: `verify_calibration`.
    own = [row for row in manifest.metrics if not is_of_calibration(row)]
    published, tested = (of_split(own, split) for split in (Split.VALIDATION, Split.TEST))
    sentences = differing_figures(published, measured.rows, TOLERANCE)
    if tested:
        again = evaluate_published(model, data, (), split=Split.TEST, resamples=resamples)
        sentences += differing_figures(tested, again.rows, TOLERANCE)
    for label, chosen in zip(manifest.labels, measured.thresholds, strict=True):
        gap = abs(label.threshold - chosen.score)
        if label.threshold_rule != chosen.rule or not gap <= TOLERANCE:
            sentences.append(
                f"threshold of {label.name}: published {label.threshold:.4f} by "
                f"{label.threshold_rule!r}, measured {chosen.score:.4f} by {chosen.rule!r}"
            )
    return sentences


def is_comparable(manifest: ModelManifest, split: str) -> bool:
    """Whether the manifest carries figures of the patients of this split."""
    return bool(manifest.metrics) and manifest.data.split_sha256 == split


def _evaluate_on(
    subset: BenchmarkSubset,
    detections: Mapping[str, ImageDetections],
    own: Sequence[Region],
    resamples: int,
) -> tuple[dict[str, SubsetResult], list[MetricRow]]:
    """A detector's figures on a benchmark subset; `detections` by file name, labelled by `own`."""
    sample = Sample(subset.images, resamples)

    def matches_of(regions: Sequence[Region]) -> Matches:
        images = only_of(subset.images, regions)
        chosen = detections_on(detections, images, own, regions)
        return known_only(match_all(chosen, images, regions), images, regions)

    results: dict[str, SubsetResult] = {}
    rows: list[MetricRow] = []
    for name, regions in (("shared", SHARED_REGIONS), ("all", subset.regions)):
        if not set(regions) <= set(own):
            continue
        matches, title = matches_of(regions), f"boxes={subset.name}/classes={name}"
        boxes = int(matches.truth.sum())
        map50 = mean_average_precision(matches, sample.weights, AT_50)
        results[title] = SubsetResult(map50, sample, boxes, froc_curve(matches, CURVE_RATES))
        rows += sample.row("map50_known", title, map50, boxes=boxes)
        for rate in FALSE_BOXES_PER_IMAGE:
            draws = froc_sensitivity(matches, sample.weights, rate)
            rows += sample.row(f"froc_{rate:g}_known", title, draws, boxes=boxes)
    regions = tuple(region for region in subset.regions if region in own)
    matches = matches_of(regions)
    for label, region in enumerate(regions):
        draws = average_precision(matches, label, sample.weights, AT_50)
        boxes = int(matches.truth[:, label].sum())
        rows += sample.row("ap50_known", f"boxes={subset.name}/{region.value}", draws, boxes=boxes)
    return results, rows


def members_of(folder: ModelFolder) -> list[ModelFolder]:
    """The folders whose networks run: those that it was fused from, or itself."""
    return member_folders(folder) if is_fused(folder.manifest.architecture) else [folder]
