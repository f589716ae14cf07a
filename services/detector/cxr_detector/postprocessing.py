"""From the network's decoded predictions to a few boxes in pixels of the image.

Numpy only, so that serving needs no PyTorch. The boxes are those of Ultralytics'
`non_max_suppression(multi_label=True)`, the form in which its validator measures mAP.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_contracts import MOST_BOXES
from cxr_detector.placement import Placement

FloatArray = npt.NDArray[np.float32]
# Candidates of one class that are compared with each other at once.
_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Detections:
    """Boxes of one image, highest score first."""

    labels: npt.NDArray[np.intp]
    """[n], index into the manifest's labels."""
    scores: FloatArray
    """[n], 0..1."""
    boxes: FloatArray
    """[n, 4]: x_min, y_min, x_max, y_max, in pixels of the image."""
    above_threshold: npt.NDArray[np.bool_]
    """[n], whether the box reaches the threshold of its class, and is among the first."""


def postprocess(
    predictions: FloatArray,
    placement: Placement,
    thresholds: FloatArray,
    *,
    nms_iou: float,
    max_boxes: int,
    min_score: float | None = None,
) -> Detections:
    """The boxes above threshold of one image, and those below if they are asked for.

    Args:
        predictions: [4 + classes, anchors]: centre x, centre y, width, height in pixels of the
            input, then a score from 0 to 1 for each class.
        placement: where the image lies in the input.
        thresholds: [classes], the lowest score reported of each class.
        nms_iou: of two boxes of one class that overlap by more than this, the better scored stays.
        max_boxes: at most so many boxes of all classes together.
        min_score: down to here, boxes below their thresholds come, too, up to `MOST_BOXES` of
            them all. What passes stays the same: a weaker box suppresses no stronger one.
    """
    lowest, most = thresholds, max_boxes
    if min_score is not None:
        lowest, most = np.minimum(thresholds, np.float32(min_score)), max(max_boxes, MOST_BOXES)
    # Scores first: all but a handful of the anchors fall here, before any geometry.
    labels, anchors = np.nonzero(predictions[4:] >= lowest[:, np.newaxis])
    scores = predictions[4 + labels, anchors]
    above = scores >= thresholds[labels]
    # What passes the thresholds comes first, so that no crowd of weak boxes pushes it out.
    order = np.lexsort((-scores, ~above))
    labels, anchors, scores, above = labels[order], anchors[order], scores[order], above[order]
    boxes = _corners(predictions[:4, anchors])
    kept = suppress_overlaps(boxes, labels, nms_iou=nms_iou, max_boxes=most)
    reported = above[kept] & (np.arange(len(kept)) < max_boxes)
    by_score = np.argsort(-scores[kept], kind="stable")
    kept, reported = kept[by_score], reported[by_score]
    return Detections(labels[kept], scores[kept], placement.to_image(boxes[kept]), reported)


def suppress_overlaps(
    boxes: FloatArray, labels: npt.NDArray[np.intp], *, nms_iou: float, max_boxes: int
) -> npt.NDArray[np.intp]:
    """Indices of the boxes that greedy non-maximum suppression within each class keeps.

    Args:
        boxes: [n, 4] corners, highest score first.
        labels: [n].
        nms_iou: overlap above which the later box goes.
        max_boxes: stop after so many.
    """
    kept = [
        _suppress_in_class(boxes, np.flatnonzero(labels == label), nms_iou, max_boxes)
        for label in np.unique(labels)
    ]
    # An index is a rank by score, so sorting brings the best of all classes to the front.
    return np.sort(np.concatenate([np.empty(0, dtype=np.intp), *kept]))[:max_boxes]


def _suppress_in_class(
    boxes: FloatArray, candidates: npt.NDArray[np.intp], nms_iou: float, max_boxes: int
) -> npt.NDArray[np.intp]:
    """Of the `candidates` (indices of one class, best first), those that stay."""
    own = boxes[candidates]
    remaining = np.arange(len(candidates))
    kept: list[int] = []
    # Block by block: a matrix of all would be large where thousands pass, a row at a time slow.
    while remaining.size and len(kept) < max_boxes:
        block, rest = remaining[:_BLOCK], remaining[_BLOCK:]
        suppresses = _overlap_more(own[block], own[block], nms_iou)
        suppressed = np.zeros(len(block), dtype=np.bool_)
        stay: list[int] = []
        for n in range(len(block)):
            if not suppressed[n]:
                stay.append(n)
                suppressed |= suppresses[n]
        kept += block[stay].tolist()
        if rest.size:
            rest = rest[~_overlap_more(own[block[stay]], own[rest], nms_iou).any(axis=0)]
        remaining = rest
    return candidates[kept[:max_boxes]]


def _overlap_more(some: FloatArray, others: FloatArray, nms_iou: float) -> npt.NDArray[np.bool_]:
    """[m, n]: which of `some` [m, 4] and `others` [n, 4] overlap by more than `nms_iou`."""
    left, top, right, bottom = some.T[..., np.newaxis]
    width = np.minimum(right, others[:, 2]) - np.maximum(left, others[:, 0])
    height = np.minimum(bottom, others[:, 3]) - np.maximum(top, others[:, 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = _areas(some)[:, np.newaxis] + _areas(others) - shared
    more: npt.NDArray[np.bool_] = shared > nms_iou * union
    return more


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _corners(centred: FloatArray) -> FloatArray:
    """[4, n] centre x, centre y, width, height -> [n, 4] corners."""
    centre, half = centred[:2], centred[2:] / 2
    return np.ascontiguousarray(np.concatenate([centre - half, centre + half]).T)
