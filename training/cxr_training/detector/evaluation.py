"""What a detector finds on radiographs, and its figures, with intervals over resampled patients.

What is published, what `verify` holds it to and what training validates by each epoch are all
computed here, on `cxr_training.metrics.detection`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel
from tqdm import tqdm

from cxr_contracts import LOWEST_MIN_SCORE, InputSpec, MetricRow, ModelManifest, Region
from cxr_detector.loading import Detector, assemble
from cxr_detector.postprocessing import Detections, postprocess
from cxr_detector.preprocessing import fit
from cxr_serving.imaging import DecodedImage
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_serving.runtime import Runtime
from cxr_training.core.cpu import usable_cores
from cxr_training.data.annotations import AnnotatedImage
from cxr_training.data.pixels import decode_grey
from cxr_training.detector.dataset import RESIZE, pixel_boxes
from cxr_training.metrics.bootstrap import (
    FloatArray,
    interval_or_none,
    mean_of_defined,
    with_resamples,
)
from cxr_training.metrics.detection import (
    IOU_THRESHOLDS,
    Matches,
    Threshold,
    at_thresholds,
    average_precision,
    detector_thresholds,
    froc_sensitivity,
    match,
    mean_average_precision,
)
from cxr_training.report.tables import metric_row

# Ultralytics' own values for validation: the whole precision-recall curve is there.
LOWEST_SCORE = 0.001
MOST_BOXES = 300
_BATCH = 16
FALSE_BOXES_PER_IMAGE = (0.25, 0.5, 1.0)
RESAMPLES = 1000
# Fewer say too little of a kind to count in a mean.
FREQUENT_BOXES = 20
SEED = 20
AT_50, AT_50_TO_95 = (0,), tuple(range(len(IOU_THRESHOLDS)))
# Of the figures that `cxr_training.detector.calibration` makes: names, and a subset.
CALIBRATION_NAMES = ("box_log_loss", "box_calibration_error", "boxes_right", "mean_probability")
IN_USE = "with ordinary images"


@dataclass(frozen=True, slots=True)
class ImageDetections:
    """All boxes found on one radiograph, in its pixels."""

    found: Detections
    width: int
    height: int


class PreparedImages:
    """Radiographs decoded and resized once, as the service does it, for a PyTorch network.

    Raises:
        DataError: an image that cannot be decoded.
    """

    def __init__(self, images: Sequence[AnnotatedImage], spec: InputSpec) -> None:
        self.images = images
        self._planes = np.empty((len(images), spec.height_px, spec.width_px), dtype=np.uint8)
        self._placements = []
        for index, image in enumerate(images):
            self._planes[index], placement = fit(decode_grey(image.path), spec, RESIZE)
            self._placements.append(placement)

    def detect(self, network: torch.nn.Module, nms_iou: float) -> list[ImageDetections]:
        """The boxes of each image down to `LOWEST_SCORE`.

        Args:
            network: of three equal planes in 0..1, decoding, in evaluation mode.
            nms_iou: overlap above which the lower scored box goes.
        """
        device = next(network.parameters()).device
        detections = []
        for start in range(0, len(self.images), _BATCH):
            planes = torch.from_numpy(self._planes[start : start + _BATCH]).to(device)
            batch = planes.float().mul_(1.0 / 255.0)[:, None].expand(-1, 3, -1, -1)
            with torch.no_grad():
                predictions = network(batch.contiguous()).float().cpu().numpy()
            lowest = np.full(predictions.shape[1] - 4, LOWEST_SCORE, dtype=np.float32)
            for one, placed in zip(predictions, self._placements[start:], strict=False):
                found = postprocess(one, placed, lowest, nms_iou=nms_iou, max_boxes=MOST_BOXES)
                width, height = placed.image_width, placed.image_height
                detections.append(ImageDetections(found, width, height))
        return detections


def detect_published(
    folder: ModelFolder, images: Iterable[AnnotatedImage]
) -> dict[str, ImageDetections]:
    """What is found on each of `images`, by file name; labels are those of the manifest.

    Each file is decoded, and goes through the preprocessing, the ONNX file and the box selection of
    the service, down to the lowest score that it gives out.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what the manifest says, or cannot be loaded.
    """
    return detect_with(folder, images, checked_onnx(usable_cores()))


def detect_with(
    folder: ModelFolder,
    images: Iterable[AnnotatedImage],
    load: Callable[[ModelFolder], Runtime],
) -> dict[str, ImageDetections]:
    """The same, with networks that `load` makes run."""
    predictor = assemble(folder, load)
    predictor.warm_up(1)
    detections = {}
    for image in tqdm(images, desc=folder.manifest.name, unit="image", mininterval=5):
        detections[image.name] = detect(predictor, decode_grey(image.path), LOWEST_MIN_SCORE)
    return detections


def detect(predictor: Detector, grey: npt.NDArray[np.uint8], min_score: float) -> ImageDetections:
    """What a published detector finds on an image [H, W], down to `min_score`."""
    prepared = predictor.prepare(DecodedImage(grey, "png"))
    [found] = predictor.predict([replace(prepared, min_score=min_score)])
    height, width = grey.shape
    return ImageDetections(found, width, height)


def detections_on(
    detections: Mapping[str, ImageDetections],
    images: Sequence[AnnotatedImage],
    own: Sequence[Region],
    regions: Sequence[Region],
) -> list[ImageDetections]:
    """The detections on `images` of the kinds `regions`, labelled by these instead of `own`."""
    number = np.array([regions.index(region) if region in regions else -1 for region in own])
    chosen = []
    for image in images:
        one = detections[image.name]
        found, labels = one.found, number[one.found.labels]
        kept = labels >= 0
        among = (found.scores[kept], found.boxes[kept], found.above_threshold[kept])
        chosen.append(replace(one, found=Detections(labels[kept], *among)))
    return chosen


def only_of(images: Sequence[AnnotatedImage], regions: Sequence[Region]) -> list[AnnotatedImage]:
    """The same radiographs, as if there were no other regions."""
    kinds = frozenset(regions)
    return [
        replace(
            image,
            boxes=tuple(box for box in image.boxes if box.region in kinds),
            unknown=image.unknown & kinds,
        )
        for image in images
    ]


def match_all(
    detections: Sequence[ImageDetections],
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
) -> Matches:
    """The `detections` on each of `images`, matched to its boxes; labels index `regions`."""
    hits = []
    truth = np.zeros((len(images), len(regions)), dtype=np.int64)
    for index, (image, one) in enumerate(zip(images, detections, strict=True)):
        labels = np.array([regions.index(box.region) for box in image.boxes], dtype=np.intp)
        np.add.at(truth[index], labels, 1)
        boxes = pixel_boxes(image, one.width, one.height)
        hits.append(match(one.found.boxes, one.found.labels, boxes, labels))
    index_of = np.repeat(np.arange(len(images)), [len(one.found.scores) for one in detections])
    scores = np.concatenate([one.found.scores for one in detections]).astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    return Matches(
        image=index_of[order],
        label=np.concatenate([one.found.labels for one in detections])[order],
        score=scores[order],
        hit=np.concatenate(hits)[order],
        truth=truth,
    )


def known_only(
    matches: Matches, images: Sequence[AnnotatedImage], regions: Sequence[Region]
) -> Matches:
    """Without detections of classes that nobody looked for on their image."""
    known = np.array([[region not in image.unknown for region in regions] for image in images])
    kept = known[matches.image, matches.label]
    return matches.keep(kept, np.where(known, matches.truth, 0))


def checked_onnx(threads: int) -> Callable[[ModelFolder], Runtime]:
    """How `detect_with` loads a network: its ONNX file, on so many threads."""

    def load(folder: ModelFolder) -> OnnxRuntime:
        # Only the ONNX file runs here; the weights are checked because a service may run those.
        folder.weights()
        return OnnxRuntime(folder.onnx(), threads=threads)

    return load


class Evaluation(BaseModel):
    """The figures of one detector."""

    metrics: list[MetricRow]
    thresholds: list[Threshold]


def is_calibrated(manifest: ModelManifest) -> bool:
    """Whether the scores of a detector say how likely a box is right."""
    return any((label.slope, label.intercept) != (1.0, 0.0) for label in manifest.labels)


def is_of_calibration(row: MetricRow) -> bool:
    """Whether a figure is one of calibration, measured with ordinary radiographs."""
    return row.name in CALIBRATION_NAMES or row.subset == IN_USE


class Sample:
    """Evaluated images and their resamples by patient; makes the rows of their figures."""

    def __init__(self, images: Sequence[AnnotatedImage], resamples: int = RESAMPLES) -> None:
        self.images = images
        self.weights = with_resamples([image.patient for image in images], resamples, SEED)
        self._split = images[0].split.value

    def row(
        self, name: str, subset: str, draws: FloatArray, *, boxes: int, n: int | None = None
    ) -> list[MetricRow]:
        """One row of `draws` [1 + resamples], or none where the figure is not defined.

        Args:
            name: of the figure.
            subset: what it is of.
            draws: the figure of the images, then of their resamples.
            boxes: true boxes behind it.
            n: images behind it, where not all are.
        """
        n = len(self.images) if n is None else n
        interval = interval_or_none(draws)
        return metric_row(name, subset, interval, n=n, n_positive=boxes, split=self._split)


def evaluate(
    matches: Matches,
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    *,
    thresholds: list[Threshold] | None = None,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """All figures of a manifest.

    Args:
        matches: of everything that was found on `images`.
        images: validation or test radiographs.
        regions: the vocabulary.
        thresholds: one for each class; None to choose them on `images`.
        resamples: of the patients.
    """
    sample = Sample(images, resamples)
    known = known_only(matches, images, regions)
    if thresholds is None:
        thresholds = detector_thresholds(known, len(regions))
    boxes = int(matches.truth.sum())
    rows = _class_rows(matches, sample, regions)
    known_map = mean_average_precision(known, sample.weights, AT_50)
    rows += sample.row("map50_known", "all", known_map, boxes=int(known.truth.sum()))
    for rate in FALSE_BOXES_PER_IMAGE:
        sensitivity = froc_sensitivity(matches, sample.weights, rate)
        rows += sample.row(f"froc_{rate:g}", "all", sensitivity, boxes=boxes)
    limits = np.array([threshold.score for threshold in thresholds])
    for name, draws in at_thresholds(matches, limits, sample.weights).items():
        rows += sample.row(name, "all", draws, boxes=boxes)
    parts: dict[str, Sequence[object]] = {
        "side_px": [image.side_px for image in images],
        "annotator": [image.source for image in images],
    }
    rows += subset_rows(matches, sample, parts)
    return Evaluation(metrics=rows, thresholds=thresholds)


def _class_rows(matches: Matches, sample: Sample, regions: Sequence[Region]) -> list[MetricRow]:
    rows: list[MetricRow] = []
    per_class: dict[str, list[FloatArray]] = {"50": [], "50_95": []}
    for label, region in enumerate(regions):
        boxes = int(matches.truth[:, label].sum())
        for name, ious in (("50", AT_50), ("50_95", AT_50_TO_95)):
            draws = average_precision(matches, label, sample.weights, ious)
            per_class[name].append(draws)
            rows += sample.row(f"ap{name}", region.value, draws, boxes=boxes)
    boxes = int(matches.truth.sum())
    means = [
        row
        for name, draws in per_class.items()
        for row in sample.row(f"map{name}", "all", mean_of_defined(draws), boxes=boxes)
    ]
    n_boxes = matches.truth.sum(axis=0)
    frequent = [per_class["50"][label] for label in np.flatnonzero(n_boxes >= FREQUENT_BOXES)]
    if frequent:
        counted = int(n_boxes[n_boxes >= FREQUENT_BOXES].sum())
        means += sample.row("map50_frequent", "all", mean_of_defined(frequent), boxes=counted)
    return means + rows


def subset_rows(
    matches: Matches, sample: Sample, kinds: Mapping[str, Sequence[object]]
) -> list[MetricRow]:
    """mAP50 of parts of the images: for each kind, e.g. `view`, of each value, given by image."""
    rows: list[MetricRow] = []
    for kind, of_image in kinds.items():
        values = np.array(of_image)
        for value in np.unique(values):
            inside = values == value
            truth = matches.truth * inside[:, np.newaxis]
            part = matches.keep(inside[matches.image], truth)
            draws = mean_average_precision(part, sample.weights, AT_50)
            boxes, n = int(truth.sum()), int(inside.sum())
            rows += sample.row("map50", f"{kind}={value}", draws, boxes=boxes, n=n)
    return rows
