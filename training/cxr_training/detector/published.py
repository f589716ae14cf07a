"""Published detectors evaluated from their own files, and held to their manifests.

Everything a manifest says is measured again, from the pixels of the radiographs to the figures,
through the service's own code.
"""

import statistics
import timeit
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr_contracts import MetricRow, ModelManifest, Region
from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import (
    SET_NAMES,
    SETS,
    Annotations,
    limit_images,
    read_annotations,
    read_test_annotations,
)
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.benchmark import BenchmarkSubset, SubsetResult, evaluate_on
from cxr_training.detector.detections import (
    detect_published,
    detections_on,
    match_all,
    only_of,
)
from cxr_training.detector.evaluation import RESAMPLES, Sample, evaluate, region_froc_rows
from cxr_training.metrics.detection import Matches
from cxr_training.metrics.rows import differing_figures
from cxr_training.metrics.thresholds import Threshold, is_by_this_rule

# ONNX Runtime and PyTorch give scores that differ in the sixth digit, and another processor may
# round a resized image otherwise. A changed network, data set or figure moves more than this.
TOLERANCE = 2e-3
_TIMED_RUNS = 20


@dataclass(frozen=True, slots=True)
class Rules:
    """On which radiographs a detector's own figures are taken."""

    sets: tuple[str, ...]
    merge_iou: float = 0.5
    seed: int = 0
    max_images: int | None = None

    def annotations(self, data: Path, split: Split = Split.VALIDATION) -> Annotations:
        """These radiographs; DataError as `read_annotations`."""
        if split is Split.TEST:
            return read_test_annotations(data, sets=self.sets, merge_iou=self.merge_iou)
        everything = read_annotations(data, sets=self.sets, merge_iou=self.merge_iou)
        return limit_images(everything, self.max_images, self.seed)


@dataclass(frozen=True, slots=True)
class PublishedEvaluation:
    """A published detector and what was measured of it."""

    manifest: ModelManifest
    rules: Rules
    split_sha256: str
    rows: list[MetricRow]
    """The figures that a manifest states, on the detector's own images and regions."""
    detail: list[MetricRow]
    """Each region's FROC, and the figures on the benchmark subsets."""
    subsets: list[SubsetResult]
    thresholds: list[Threshold]
    """Chosen on these patients where the manifest's were; else the manifest's."""
    matches: Matches
    """On its own images."""
    onnx_bytes: int
    """Of all its networks."""
    onnx_ms: float
    """One image through all its networks on one thread of a CPU, in ONNX Runtime."""
    resamples: int

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the detector knows."""
        return regions_of_manifest(self.manifest)


def regions_of_manifest(manifest: ModelManifest) -> tuple[Region, ...]:
    """What the detector of a manifest knows, in the order of its labels."""
    return tuple(Region(label.name) for label in manifest.labels)


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
        PublishError: the manifest's recipe does not say how its figures were made.
    """
    folder = open_model_folder(model, "detector")
    manifest, members = folder.manifest, _members(folder)
    # What is fused is evaluated as its members are.
    rules = rules_of(members[0].manifest)
    annotations = rules.annotations(data, split)
    own, patients = regions_of_manifest(manifest), split_sha256(annotations.splits)
    images = only_of(annotations.of(split), own)
    needed = {image.name: image for subset in benchmark for image in subset.images}
    detections = detect_published(folder, {**needed, **{i.name: i for i in images}}.values())
    matches = match_all(detections_on(detections, images, own, own), images, own)
    again = is_comparable(manifest, patients) and all(
        is_by_this_rule(label.threshold_rule) for label in manifest.labels
    )
    shipped = [Threshold(label.threshold, label.threshold_rule) for label in manifest.labels]
    evaluation = evaluate(
        matches, images, own, thresholds=None if again else shipped, resamples=resamples
    )
    detail = region_froc_rows(matches, own, Sample(images, resamples))
    subsets: list[SubsetResult] = []
    for subset in benchmark:
        results, rows = evaluate_on(subset, detections, own, resamples)
        subsets += results
        detail += rows
    return PublishedEvaluation(
        manifest=manifest,
        rules=rules,
        split_sha256=patients,
        rows=evaluation.metrics,
        detail=detail,
        subsets=subsets,
        thresholds=evaluation.thresholds,
        matches=matches,
        onnx_bytes=sum(member.manifest.onnx.bytes for member in members),
        onnx_ms=sum(_milliseconds(member) for member in members),
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
    patients = split_sha256(rules_of(_members(folder)[0].manifest).annotations(data).splits)
    if not is_comparable(manifest, patients):
        raise PublishError(
            f"{manifest.name} was evaluated on other patients (split "
            f"{manifest.data.split_sha256[:12]}) than those of this data set "
            f"({patients[:12]}): there is nothing to compare"
        )
    measured = evaluate_published(model, data, (), resamples=resamples)
    sentences = differing_figures(manifest.metrics, measured.rows, TOLERANCE)
    for label, chosen in zip(manifest.labels, measured.thresholds, strict=True):
        gap = abs(label.threshold - chosen.score)
        if label.threshold_rule != chosen.rule or not gap <= TOLERANCE:
            sentences.append(
                f"threshold of {label.name}: published {label.threshold:.4f} by "
                f"{label.threshold_rule!r}, measured {chosen.score:.4f} by {chosen.rule!r}"
            )
    return sentences


def rules_of(manifest: ModelManifest) -> Rules:
    """How the manifest's figures were made; plain rules where it has none.

    Raises:
        PublishError: its recipe does not say.
    """
    if not manifest.metrics:
        names = set(regions_of_manifest(manifest))
        fitting = [one.name for one in SETS if names <= one.regions]
        return Rules((fitting[0],) if fitting else SET_NAMES)
    recipe = manifest.training.recipe
    try:
        data: dict[str, Any] = recipe.get("data", {})
        return Rules(
            sets=tuple(data.get("sets", SET_NAMES)),
            merge_iou=float(recipe["merge_iou"]),
            seed=int(recipe["seed"]),
            max_images=data.get("max_images"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PublishError(
            f"the manifest of {manifest.name} carries figures, but its recipe does not say how "
            f"they were made: {error!r}"
        ) from error


def is_comparable(manifest: ModelManifest, split: str) -> bool:
    """Whether the manifest carries figures of the patients of this split."""
    return bool(manifest.metrics) and manifest.data.split_sha256 == split


def _members(folder: ModelFolder) -> list[ModelFolder]:
    return member_folders(folder) if is_fused(folder.manifest.architecture) else [folder]


def _milliseconds(folder: ModelFolder) -> float:
    """Of one image through one network, on one thread."""
    runtime = OnnxRuntime(folder.onnx(), threads=1)
    spec = folder.manifest.input
    shape = (1, spec.channels, spec.height_px, spec.width_px)
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    times = timeit.repeat(lambda: runtime.run(image), number=1, repeat=_TIMED_RUNS)
    return statistics.median(times) * 1e3
