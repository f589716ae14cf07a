"""What a student learns of a teacher's pseudo-labels: places with a soft score for each region.

- A teacher's box is as sure as its score says, and so is the target: no threshold decides.
- Several kinds of region often lie at one place (an infiltration is a consolidation, too). One
  place of the network learns one box, so boxes of different kinds that overlap become one place
  with a score for each of them.
- NIH's labels of the radiograph know what the teacher could not see: the odds of a kind that they
  name are multiplied by `label_odds`, those of another kind that they could name are divided by it.
- RSNA's radiologists overrule the teacher: their boxes are Pneumonia with a score of 1, on a
  radiograph that they read there is no other, and one that they read as normal has no box at all.

Pseudo-labels are what a published detector says of training radiographs on which nobody drew a box.
Radiographs with drawn boxes are left out: the published detectors learnt these by heart, and what
they say there is what was drawn. So are the patients of validation and test. The file is JSON
lines. The first names the detector and its regions; each other one is a radiograph: `{"image":
NIH's file name, "boxes": [[region, score, x_min, y_min, x_max, y_max]]}`, the region by its number,
the corners in the 1024 px frame. A run that was killed goes on where it stopped.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cxr_contracts import Finding, Region, finding_of_region
from cxr_detector.loading import Detector, assemble
from cxr_serving.model_folder import ModelFolder, open_model_folder
from cxr_training.core.errors import RunError
from cxr_training.data import chestxdet, rsna
from cxr_training.data.annotations import (
    RSNA,
    TEACHER,
    AnnotatedImage,
    Annotations,
    SoftBox,
    as_background,
)
from cxr_training.data.errors import DataError
from cxr_training.data.nih import ANNOTATION_FRAME_PX, read_boxed
from cxr_training.data.pixels import decode_grey, width_of
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import CHESTXDET_FOLDER, NIH_FOLDER, RSNA_FOLDER, Split
from cxr_training.detector.config import DistillationConfig
from cxr_training.detector.evaluation import checked_onnx, detect
from cxr_training.metrics.detection import iou_matrix

# Weaker boxes are too many, and nearly all wrong: as targets they are what no box is.
LOWEST_SCORE = 0.02
_SCORE_DECIMALS, _PIXEL_DECIMALS = 4, 1


@dataclass(frozen=True, slots=True)
class PseudoBox:
    """A box that a detector drew; corners in the 1024 px frame."""

    region: Region
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """The content of a file of pseudo-labels."""

    teacher: str
    """Name and version of the detector."""
    sha256: str
    """Of the detector's weights."""
    boxes: dict[str, tuple[PseudoBox, ...]]
    """By NIH's file name, best first."""


def write_pseudo_labels(
    model: Path, data: Path, path: Path, *, limit: int | None = None, threads: int = 1
) -> int:
    """Let the detector in `model` label `unannotated(data)`, those that `path` lacks.

    Args:
        model: a published detector's folder.
        data: the folder that holds nih/ and chestx-det/.
        path: the file, begun or not.
        limit: how many radiographs the file shall hold at most.
        threads: of the detector.

    Returns:
        How many radiographs the file holds.

    Raises:
        DataError: the data is not as published, or is a test set; `path` is another detector's.
        ModelFolderError: `model` cannot be served.
        RunError: `path` cannot be written.
    """
    folder = open_model_folder(model, "detector")
    images = unannotated(data)[:limit]
    header = _header(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done = _begin(path, header)
        left = [image for image in images if image.name not in done]
        if left:
            detector = assemble(folder, checked_onnx(threads))
            detector.warm_up(1)
            with path.open("a") as stream:
                for image in tqdm(left, desc=folder.manifest.name, unit="image", mininterval=10):
                    stream.write(json.dumps(_labelled(detector, image)) + "\n")
                    stream.flush()
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}") from error
    return len(done) + len(left)


def unannotated(data: Path) -> list[Radiograph]:
    """Radiographs of training patients without drawn boxes, in the order to label them.

    The largest files first, among equals those with a finding, and then by a hash of the name, so
    that a beginning of the list is a fair sample of its size.

    Raises:
        DataError: the data is not as published, or is a test set.
    """
    boxed = read_boxed(data / NIH_FOLDER)
    annotated = {image.nih_name for image in chestxdet.read_images(data / CHESTXDET_FOLDER)}
    images = [
        image
        for image in boxed.of(Split.TRAIN)
        if image.name not in boxed.boxes and image.name not in annotated
    ]

    def order(image: Radiograph) -> tuple[int, bool, str]:
        name = hashlib.sha256(image.name.encode()).hexdigest()
        return -width_of(image.path), not image.findings, name

    return sorted(images, key=order)


def read_pseudo_labels(path: Path) -> PseudoLabels:
    """What `write_pseudo_labels` wrote; a last line that was cut off is left out.

    Raises:
        DataError: no such file, or none of this form.
    """
    if not path.is_file():
        raise DataError(path, "is missing: make it with `cxr detector pseudo-label`")
    lines = _whole_lines(path)
    try:
        header = json.loads(lines[0])
        regions = [Region(name) for name in header["regions"]]
        boxes = {
            entry["image"]: tuple(
                PseudoBox(regions[int(number)], float(score), *(float(x) for x in corners))
                for number, score, *corners in entry["boxes"]
            )
            for entry in map(json.loads, lines[1:])
        }
        return PseudoLabels(header["teacher"], header["sha256"], boxes)
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"holds no pseudo-labels: {error}") from error


def _header(folder: ModelFolder) -> dict[str, Any]:
    manifest = folder.manifest
    return {
        "teacher": f"{manifest.name} {manifest.version}",
        "sha256": manifest.weights.sha256,
        "regions": [label.name for label in manifest.labels],
    }


def _begin(path: Path, header: dict[str, Any]) -> set[str]:
    """Make `path` ready to be appended to; the names of the radiographs that it holds.

    Raises:
        DataError: it is another detector's.
    """
    lines = _whole_lines(path) if path.exists() else []
    if not lines:
        path.write_text(json.dumps(header) + "\n")
        return set()
    if json.loads(lines[0]) != header:
        raise DataError(path, f"holds what another detector says than {header['teacher']}")
    labels = read_pseudo_labels(path)
    os.truncate(path, sum(len(line) for line in lines))
    return set(labels.boxes)


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _labelled(detector: Detector, image: Radiograph) -> dict[str, Any]:
    one = detect(detector, decode_grey(image.path), LOWEST_SCORE)
    frame = ANNOTATION_FRAME_PX / np.array([one.width, one.height] * 2)
    corners = (one.found.boxes * frame).round(_PIXEL_DECIMALS).tolist()
    scores = one.found.scores.astype(float).round(_SCORE_DECIMALS).tolist()
    boxes = [
        [int(label), score, *box]
        for label, score, box in zip(one.found.labels, scores, corners, strict=True)
        if score >= LOWEST_SCORE
    ]
    return {"image": image.name, "boxes": boxes}


def with_teacher(
    annotations: Annotations, labels: PseudoLabels, data: Path, config: DistillationConfig
) -> Annotations:
    """The `annotations` and what the teacher says of training radiographs beside them.

    A radiograph that NIH or ChestX-Det annotated keeps its boxes: the teacher learnt from them.

    Raises:
        DataError: a radiograph that is labelled is not there, or not a training patient's; what the
            readers of the data refuse.
    """
    boxed = read_boxed(data / NIH_FOLDER)
    normal: set[str] = set()
    if RSNA.regions <= set(annotations.regions) and (data / RSNA_FOLDER).is_dir():
        reads = rsna.read_reads(data / RSNA_FOLDER)
        normal = {read.nih_name for read in reads if read.read is rsna.Read.NORMAL}
    known = {image.name: image for image in annotations.images}
    for name, boxes in labels.boxes.items():
        radiograph = boxed.images.get(name)
        if radiograph is None or boxed.splits[radiograph.patient] is not Split.TRAIN:
            where = data / NIH_FOLDER
            raise DataError(where, f"{name} has pseudo-labels and is no training patient's here")
        image = known.get(name) or as_background(radiograph, Split.TRAIN)
        if image.is_annotated and image.source != RSNA.name:
            continue
        read = image.source == RSNA.name
        left = [] if name in normal else boxes
        left = [one for one in left if not (read and one.region in RSNA.regions)]
        sure = [
            PseudoBox(box.region, 1.0, box.x_min, box.y_min, box.x_max, box.y_max)
            for box in image.boxes
        ]
        soft = (*sure, *_with_labels(left, radiograph.findings, config))
        known[name] = replace(
            image,
            source=image.source if read else TEACHER,
            boxes=(),
            unknown=frozenset(),
            soft=merged(soft, config.merge_iou),
        )
    return replace(annotations, images=tuple(known[name] for name in sorted(known)))


def merged(boxes: Iterable[PseudoBox], iou: float) -> tuple[SoftBox, ...]:
    """The `boxes` as places: from the best down, each joins the place that it overlaps most.

    It joins where it overlaps by at least `iou` and no box of its kind is there. The place is where
    its best box lies.
    """
    places: list[tuple[PseudoBox, dict[Region, float]]] = []
    for box in sorted(boxes, key=lambda one: -one.score):
        free = [place for place in places if box.region not in place[1]]
        overlaps = iou_matrix(_corners([box]), _corners([best for best, _ in free]))[0]
        if overlaps.max(initial=0.0) >= iou:
            free[int(overlaps.argmax())][1][box.region] = box.score
        else:
            places.append((box, {box.region: box.score}))
    return tuple(
        SoftBox(best.x_min, best.y_min, best.x_max, best.y_max, scores) for best, scores in places
    )


def facts_of(labels: PseudoLabels, images: Sequence[AnnotatedImage]) -> Mapping[str, str | int]:
    """For `run.json` and the card: whose pseudo-labels, and on how many radiographs."""
    taught = [image for image in images if image.soft is not None]
    return {
        "teacher": labels.teacher,
        "teacher_sha256": labels.sha256,
        "n_images": len(taught),
        "n_places": sum(len(image.soft or ()) for image in taught),
    }


def _with_labels(
    boxes: Iterable[PseudoBox], findings: frozenset[Finding], config: DistillationConfig
) -> list[PseudoBox]:
    """The boxes with the scores that the radiograph's labels leave them, the weakest left out."""
    changed = []
    for box in boxes:
        finding, score = finding_of_region(box.region), box.score
        if finding is not None:
            factor = config.label_odds if finding in findings else 1 / config.label_odds
            score = factor * score / (1 + (factor - 1) * score)
        if score >= config.min_score:
            changed.append(replace(box, score=score))
    return changed


def _corners(boxes: Sequence[PseudoBox]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    corners = [[box.x_min, box.y_min, box.x_max, box.y_max] for box in boxes]
    return np.array(corners, dtype=np.float32).reshape(-1, 4)
