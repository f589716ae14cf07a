"""One list of boxes from those of several networks that read the same film.

Weighted boxes fusion (Solovyev, Wang and Gabruseva, Image and Vision Computing 2021), within each
class. Networks of different starts err differently: a box that several of them draw moves up, one
that a single network draws moves down, and where they differ a little the mean lies better.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxr_detector.postprocessing import Detections

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.intp]


def fuse(found: Sequence[Detections], *, iou: float) -> Detections:
    """The boxes of all networks as one list, highest score first.

    From the best box down, each joins the group that overlaps it most, if it overlaps that group's
    mean box by more than `iou` and none of its network's boxes is in it yet, or begins a group. A
    group's box is the mean of its boxes weighted by their scores; its score is the sum of theirs
    over the number of networks, so that a network without the box counts as zero.

    Args:
        found: what each network found in one film, in pixels of it; at least one network.
        iou: overlap, 0..1.

    Returns:
        All groups, `shown` false throughout: what reaches a threshold is another's to say.
    """
    # A score of zero is no opinion, and could weigh nothing.
    held = [one.scores > 0 for one in found]
    network = np.repeat(np.arange(len(found)), [int(kept.sum()) for kept in held])
    labels = np.concatenate([one.labels[kept] for one, kept in zip(found, held, strict=True)])
    scores = np.concatenate([one.scores[kept] for one, kept in zip(found, held, strict=True)])
    boxes = np.concatenate([one.boxes[kept] for one, kept in zip(found, held, strict=True)])
    groups: list[tuple[int, float, FloatArray]] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        sums, weighted = _groups(boxes[rows], scores[rows], network[rows], len(found), iou)
        means = weighted / sums[:, None]
        groups += zip([int(label)] * len(sums), sums / len(found), means, strict=True)
    groups.sort(key=lambda group: -group[1])
    return Detections(
        np.array([label for label, _, _ in groups], dtype=np.intp),
        np.array([score for _, score, _ in groups], dtype=np.float32),
        np.array([box for _, _, box in groups], dtype=np.float32).reshape(-1, 4),
        np.zeros(len(groups), dtype=np.bool_),
    )


def _groups(
    boxes: FloatArray, scores: FloatArray, network: IntArray, n_networks: int, iou: float
) -> tuple[FloatArray, FloatArray]:
    """Of one class, best box first: each group's sum of scores [g], and of boxes by them [g, 4]."""
    sums = np.zeros(len(boxes), dtype=np.float64)
    weighted = np.zeros((len(boxes), 4), dtype=np.float64)
    drawn_by = np.zeros((len(boxes), n_networks), dtype=np.bool_)
    count = 0
    for box, score, by in zip(boxes, scores, network, strict=True):
        means = weighted[:count] / sums[:count, np.newaxis]
        overlap = np.where(drawn_by[:count, by], -1.0, overlaps(box, means))
        place = int(overlap.argmax()) if count else 0
        if count == 0 or overlap[place] <= iou:
            place, count = count, count + 1
        sums[place] += score
        weighted[place] += score * box
        drawn_by[place, by] = True
    return sums[:count], weighted[:count]


def overlaps(box: FloatArray, others: FloatArray) -> FloatArray:
    """Intersection over union, 0..1, of one box [4] with each of `others` [n, 4], as corners."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    ratio: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio
