"""One list of boxes from those of several networks that saw the same image.

Weighted boxes fusion (Solovyev, Wang and Gabruseva, Image and Vision Computing 2021), within each
class. Networks of different starts err differently: a box that several of them draw moves up, one
that a single network draws moves down, and where they differ a little the mean lies better.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from cxr_detector.postprocessing import Detections

Box = list[float]


def fuse(detections: Sequence[Detections], *, iou: float) -> Detections:
    """The boxes of all networks as one list, highest score first.

    From the best box down, each joins the group that overlaps it most, if it overlaps that group's
    mean box by more than `iou` and none of its network's boxes is in it yet, or begins a group. A
    group's box is the mean of its boxes weighted by their scores; its score is the sum of theirs
    over the number of networks, so that a network without the box counts as zero.

    Args:
        detections: what each network detected in one image, in pixels of it; at least one network.
        iou: overlap, 0..1.

    Returns:
        All groups, `above_threshold` false throughout: thresholds are the caller's.
    """
    # A score of zero says nothing, and could weigh nothing.
    held = [one.scores > 0 for one in detections]
    network = np.repeat(np.arange(len(detections)), [int(kept.sum()) for kept in held])
    labels = np.concatenate([one.labels[kept] for one, kept in zip(detections, held, strict=True)])
    scores = np.concatenate([one.scores[kept] for one, kept in zip(detections, held, strict=True)])
    boxes = np.concatenate([one.boxes[kept] for one, kept in zip(detections, held, strict=True)])
    groups: list[tuple[int, _Group]] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        drawn = zip(
            boxes[rows].tolist(), scores[rows].tolist(), network[rows].tolist(), strict=True
        )
        groups += [(int(label), group) for group in _grouped(drawn, iou)]
    groups.sort(key=lambda one: -one[1].total)
    return Detections(
        np.array([label for label, _ in groups], dtype=np.intp),
        np.array([group.total / len(detections) for _, group in groups], dtype=np.float32),
        np.array([group.box for _, group in groups], dtype=np.float32).reshape(-1, 4),
        np.zeros(len(groups), dtype=np.bool_),
    )


class _Group:
    """Boxes of several networks that are taken for one thing."""

    __slots__ = ("box", "drawn_by", "total")

    def __init__(self, box: Box, score: float, by: int) -> None:
        self.box, self.total, self.drawn_by = box, score, {by}

    def add(self, box: Box, score: float, by: int) -> None:
        """One more network's box of it."""
        before, self.total = self.total, self.total + score
        self.drawn_by.add(by)
        self.box = [
            (mean * before + edge * score) / self.total
            for mean, edge in zip(self.box, box, strict=True)
        ]


def _grouped(drawn: Iterable[tuple[Box, float, int]], iou: float) -> list[_Group]:
    """The groups of one class; `drawn`: box, score, network, best first."""
    # A few hundred boxes, a dozen groups at a time: plain numbers take a quarter of the time that
    # arrays of such lengths do.
    groups: list[_Group] = []
    for box, score, by in drawn:
        nearest, most = None, iou
        left, top, right, bottom = box
        for group in groups:
            # Most are elsewhere, and a call takes longer than to see that.
            x_min, y_min, x_max, y_max = group.box
            if x_min >= right or x_max <= left or y_min >= bottom or y_max <= top:
                continue
            if by not in group.drawn_by:
                shared = overlap(box, group.box)
                if shared > most:
                    nearest, most = group, shared
        if nearest is None:
            groups.append(_Group(box, score, by))
        else:
            nearest.add(box, score, by)
    return groups


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1, of two boxes as corners."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    if width <= 0:
        return 0.0
    height = min(one[3], other[3]) - max(one[1], other[1])
    if height <= 0:
        return 0.0
    shared = width * height
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return shared / (areas - shared)
