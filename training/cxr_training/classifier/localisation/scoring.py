"""The figures of single cases: of the map, and of what points without seeing the radiograph."""

from collections.abc import Callable
from enum import StrEnum
from functools import cache

import numpy as np
import numpy.typing as npt

from cxr_training.classifier.localisation.fitting import Lesson
from cxr_training.classifier.localisation.maps import (
    FRAME_PX,
    BoolMap,
    FloatMap,
    enlarged,
    mask_iou,
)

FloatArray = npt.NDArray[np.float64]
POINTING, IOU = "pointing_game", "cam_iou"
IOU_LEVELS = (0.1, 0.25, 0.5)
FIGURES = (POINTING, IOU, *(f"{IOU}_{level:g}" for level in IOU_LEVELS))


class Pointer(StrEnum):
    """Who points at a finding; the order is that of the tables."""

    CAM = "cam"
    PRIOR = "prior"
    CENTRE = "centre"
    RANDOM = "random"


def score_case(cam: npt.NDArray[np.float32], lesson: Lesson, mask: BoolMap) -> FloatArray:
    """`FIGURES` of each `Pointer`, float64 [4, 5].

    Args:
        cam: the finding's map on this radiograph, [h, w].
        lesson: what training taught of the finding.
        mask: its boxes, [FRAME_PX, FRAME_PX].
    """
    level = enlarged(cam)
    region = level >= lesson.cam_fraction
    middle = centred_square(2)
    by_pointer: dict[Pointer, Callable[[], list[float]]] = {
        Pointer.CAM: lambda: _scores(level, region, mask),
        Pointer.PRIOR: lambda: _scores(lesson.prior, lesson.prior >= lesson.prior_fraction, mask),
        Pointer.CENTRE: lambda: _scores(middle, centred_square(_side_of(lesson.box_area)), mask),
        Pointer.RANDOM: lambda: _random_scores(float(region.mean()), mask),
    }
    return np.array([by_pointer[pointer]() for pointer in Pointer])


@cache
def centred_square(side_px: int) -> BoolMap:
    """A square in the middle of the frame; half a pixel up and to the left if its side is odd."""
    start = (FRAME_PX - side_px) // 2
    square = np.zeros((FRAME_PX, FRAME_PX), dtype=bool)
    square[start : start + side_px, start : start + side_px] = True
    return square


def _scores(level: FloatMap | BoolMap, region: BoolMap, mask: BoolMap) -> list[float]:
    hit = float(mask[level == level.max()].mean())
    iou = mask_iou(region, mask)
    return [hit, iou, *(float(iou >= at_least) for at_least in IOU_LEVELS)]


def _random_scores(area: float, mask: BoolMap) -> list[float]:
    """Expected values over all pixels, and over all places of a square of `area`."""
    side = _side_of(area)
    sums = np.pad(mask.astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    shared = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    iou = shared / (side * side + np.count_nonzero(mask) - shared)
    return [
        float(mask.mean()),
        float(iou.mean()),
        *(float((iou >= at_least).mean()) for at_least in IOU_LEVELS),
    ]


def _side_of(area: float) -> int:
    """Side in pixels of a square that covers this share of the frame, at least one."""
    return max(1, round(FRAME_PX * float(np.sqrt(area))))
