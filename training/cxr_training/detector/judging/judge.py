"""The figures of a published detector, and whether they are those of its manifest."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from cxr_contracts import LabelSpec, MetricRow, ModelManifest, Region
from cxr_detector.fused import is_fused, member_folders
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.core.errors import PublishError
from cxr_training.data.splits import Split, split_sha256
from cxr_training.detector.annotations import (
    BOTH_SETS,
    REGIONS_OF_SET,
    AnnotatedImage,
    Annotations,
    BoxSet,
    limit_images,
    read_annotations,
)
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.crosscheck import ultralytics_map50
from cxr_training.detector.dataset import write_dataset
from cxr_training.detector.evaluation import (
    FALSE_BOXES_PER_IMAGE,
    RESAMPLES,
    Found,
    interval_or_none,
    known_only,
    match_all,
    measure,
    resampled,
)
from cxr_training.detector.judging.grounds import Ground, Standing, stand
from cxr_training.detector.judging.reading import (
    Cost,
    found_on,
    measure_cost,
    only_of,
    read_published,
)
from cxr_training.detector.scoring import (
    FloatArray,
    Matches,
    froc_sensitivity,
)
from cxr_training.detector.thresholds import Threshold, is_by_this_rule, own_thresholds
from cxr_training.metrics.rows import differing_figures, metric_row

# ONNX Runtime and PyTorch give scores that differ in the sixth digit, and another processor may
# round a resized picture otherwise. A changed network, data set or figure moves more than this.
TOLERANCE = 2e-3
_MERGE_IOU, _SEED = 0.5, 0


class JudgementError(PublishError):
    """The manifest's figures cannot be, or were not, reproduced; the message says which."""


@dataclass(frozen=True, slots=True)
class Rules:
    """On what a model's own figures are taken.

    `recipe` is that of its manifest; None where it carries no figures, and then there is nothing to
    compare with.
    """

    sets: tuple[BoxSet, ...]
    recipe: DetectorConfig | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A model and what was found of it."""

    manifest: ModelManifest
    rules: Rules
    split_sha256: str
    is_comparable: bool
    """Whether the manifest carries figures of these patients."""
    rows: list[MetricRow]
    """The figures that a manifest states, on the model's own films and regions."""
    detail: list[MetricRow]
    """Each region's FROC, and the figures on the common grounds."""
    standings: list[Standing]
    thresholds: list[Threshold]
    """Chosen on these patients; the model's own where it is judged as shipped, and where they were
    chosen by an earlier rule."""
    matches: Matches
    """On its own films."""
    cost: Cost
    resamples: int

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the model knows."""
        return tuple(Region(label.name) for label in self.manifest.labels)


def judge(
    model: Path,
    nih: Path,
    chestxdet: Path,
    grounds: Sequence[Ground],
    *,
    check: bool = False,
    resamples: int = RESAMPLES,
) -> Judgement:
    """Judge the model folder `model` on the validation patients of both data sets.

    Args:
        model: the folder.
        nih: folder of NIH ChestX-ray14.
        chestxdet: folder of ChestX-Det.
        grounds: of the same folders.
        check: refuse, before an image is read, where there is nothing to compare with.
        resamples: of the patients.

    Raises:
        DataError: the data is not as published.
        JudgementError: the manifest's recipe does not say how its figures were made; or `check`,
            and it carries none, or those of other patients.
        ModelFolderError: the folder is not what its manifest says.
    """
    folder = open_model_folder(model, "detector")
    fused = is_fused(folder.manifest.architecture)
    # What is fused is judged as its members are.
    rules = rules_of((member_folders(folder)[0] if fused else folder).manifest)
    annotations = annotations_of(rules, nih, chestxdet)
    if check:
        _require_figures(folder.manifest, split_sha256(annotations.splits))
    own = tuple(Region(label.name) for label in folder.manifest.labels)
    images = only_of(annotations.of(Split.VALIDATION), own)
    seen = {image.name: image for ground in grounds for image in ground.images}
    seen |= {image.name: image for image in images}
    found = read_published(folder, seen.values())
    judgement = _on_own_ground(folder, rules, annotations, images, found, resamples=resamples)
    for ground in grounds:
        standings, rows = stand(ground, found, own, resamples)
        judgement.standings.extend(standings)
        judgement.detail.extend(rows)
    return judgement


def _on_own_ground(
    folder: ModelFolder,
    rules: Rules,
    annotations: Annotations,
    images: list[AnnotatedImage],
    found: Mapping[str, Found],
    *,
    resamples: int,
) -> Judgement:
    """The judgement without the common grounds."""
    labels = folder.manifest.labels
    own = tuple(Region(label.name) for label in labels)
    split = split_sha256(annotations.splits)
    matches = match_all(found_on(found, images, own, own), images, own)
    known = known_only(matches, images, own)
    comparable = rules.recipe is not None and folder.manifest.data.split_sha256 == split
    thresholds = (
        own_thresholds(known, len(own))
        if comparable and all(is_by_this_rule(label.threshold_rule) for label in labels)
        else [Threshold(label.threshold, label.threshold_rule) for label in labels]
    )
    rows = measure(matches, known, images, own, thresholds, resamples=resamples)
    if rules.recipe is not None and not is_fused(folder.manifest.architecture):
        rows += _crosscheck(folder, rules.recipe, annotations, matches)
    return Judgement(
        manifest=folder.manifest,
        rules=rules,
        split_sha256=split,
        is_comparable=comparable,
        rows=rows,
        detail=_region_rows(matches, images, own, resampled(images, resamples)),
        standings=[],
        thresholds=thresholds,
        matches=matches,
        cost=measure_cost(folder),
        resamples=resamples,
    )


def rules_of(manifest: ModelManifest) -> Rules:
    """How the manifest's figures were made; plain rules where it has none.

    Raises:
        JudgementError: its recipe is of another form.
    """
    if not manifest.metrics:
        names = {Region(label.name) for label in manifest.labels}
        fitting = [one for one in BOTH_SETS if names <= REGIONS_OF_SET[one]]
        return Rules((fitting[0],) if fitting else BOTH_SETS, None)
    fields = DetectorConfig.model_fields
    recipe = {key: value for key, value in manifest.training.recipe.items() if key in fields}
    try:
        config = DetectorConfig.model_validate(recipe)
    except ValidationError as error:
        raise JudgementError(
            f"the manifest of {manifest.name} carries figures, but its recipe does not say how "
            f"they were made: {error}"
        ) from error
    return Rules(config.data.sets, config)


def comparison(judgement: Judgement) -> list[str]:
    """Where the manifest says otherwise than what was measured, a sentence each.

    `judgement` must be comparable.
    """
    manifest = judgement.manifest
    sentences = differing_figures(manifest.metrics, judgement.rows, TOLERANCE)
    for label, threshold in zip(manifest.labels, judgement.thresholds, strict=True):
        sentences += _label_differences(label, threshold)
    return sentences


def _label_differences(shipped: LabelSpec, chosen: Threshold) -> list[str]:
    sentences = []
    if shipped.threshold_rule != chosen.rule:
        sentences.append(
            f"threshold of {shipped.name}: shipped by {shipped.threshold_rule}, "
            f"chosen by {chosen.rule}"
        )
    if not abs(shipped.threshold - chosen.score) <= TOLERANCE:
        sentences.append(
            f"threshold of {shipped.name}: shipped {shipped.threshold:.4f}, "
            f"chosen {chosen.score:.4f}"
        )
    return sentences


def annotations_of(rules: Rules, nih: Path, chestxdet: Path) -> Annotations:
    """What is judged by `rules`; DataError as `read_annotations`."""
    recipe = rules.recipe
    annotations = read_annotations(
        nih,
        chestxdet,
        sets=rules.sets,
        merge_iou=recipe.merge_iou if recipe else _MERGE_IOU,
        background_images=0,
        seed=recipe.seed if recipe else _SEED,
    )
    return limit_images(annotations, recipe.data.max_images, recipe.seed) if recipe else annotations


def _require_figures(manifest: ModelManifest, split: str) -> None:
    if not manifest.metrics:
        raise JudgementError(f"the manifest of {manifest.name} carries no figures to compare with")
    if manifest.data.split_sha256 != split:
        raise JudgementError(
            f"{manifest.name} was judged on other patients (split "
            f"{manifest.data.split_sha256[:12]}) than those of this data set ({split[:12]}): "
            "there is nothing to compare"
        )


def _crosscheck(
    folder: ModelFolder, recipe: DetectorConfig, annotations: Annotations, matches: Matches
) -> list[MetricRow]:
    """Ultralytics' own validator on the published weights."""
    validation = tuple(annotations.of(Split.VALIDATION))
    folder.weights()
    with tempfile.TemporaryDirectory() as place:
        data_file = write_dataset(
            replace(annotations, images=validation),
            Path(place) / "dataset",
            recipe.input_spec(),
            recipe.resize,
        )
        theirs = ultralytics_map50(recipe, folder.path / folder.manifest.weights.path, data_file)
    boxes = int(matches.truth.sum())
    return metric_row("map50_ultralytics", "all", theirs, n=len(validation), n_positive=boxes)


def _region_rows(
    matches: Matches, images: Sequence[AnnotatedImage], own: Sequence[Region], weights: FloatArray
) -> list[MetricRow]:
    """Of each region, the share that is found at so many false boxes of it an image."""
    rows: list[MetricRow] = []
    for label, region in enumerate(own):
        truth = matches.truth.copy()
        truth[:, [other for other in range(len(own)) if other != label]] = 0
        alone = matches.keep(matches.label == label, truth)
        for rate in FALSE_BOXES_PER_IMAGE:
            rows += metric_row(
                f"froc_{rate:g}",
                region.value,
                interval_or_none(froc_sensitivity(alone, weights, rate)),
                n=len(images),
                n_positive=int(truth.sum()),
            )
    return rows
