"""What an inference service's answer must hold beyond its schema before it may stand in a study."""

import math
from collections.abc import Collection

from cxr_contracts import (
    CamGrid,
    ClassifyResponse,
    DetectedBox,
    DetectResponse,
    level_of,
)
from cxr_gateway.inference.failures import FailureKind, InferenceFailure

_MAX_BOXES = 1000
_MAX_GRID_SIDE = 512
# Boxes are rounded to float32 on their way; a pixel beyond the edge is cut off, not refused.
_EDGE_TOLERANCE_PX = 1.0


def check_classified(answer: ClassifyResponse, labels: Collection[str] | None) -> None:
    """Each finding once at its level, maps that can be drawn; raises `InferenceFailure`.

    Args:
        answer: what the classifier said.
        labels: what its model answers of, as it announced itself; None if that is not known.
    """
    named = [row.finding for row in answer.findings]
    if not named or len(set(named)) != len(named) or set(named) != set(labels or named):
        raise _invalid("it did not answer each of its findings once")
    for row in answer.findings:
        possible, likely = row.possible_threshold, row.likely_threshold
        if possible > likely or row.level is not level_of(row.probability, possible, likely):
            raise _invalid(f"its level of {row.finding} contradicts the probability or thresholds")
    explained = [cam.finding for cam in answer.cams]
    if len(set(explained)) != len(explained):
        raise _invalid("it sent two maps of one finding")
    for cam in answer.cams:
        if not _drawable(cam):
            raise _invalid(f"its map of {cam.finding} is not a grid of finite numbers")


def check_detected(
    answer: DetectResponse, width: int, height: int, labels: Collection[str] | None
) -> None:
    """Boxes of the image that was sent; raises `InferenceFailure`.

    Args:
        answer: what the detector said.
        width: of the image that was sent, in pixels.
        height: likewise.
        labels: what its model draws, as it announced itself; None if that is not known.
    """
    found = (answer.image.width, answer.image.height)
    if found != (width, height):
        raise _invalid(
            f"it saw an image of {found[0]} x {found[1]} pixels, sent were {width} x {height}"
        )
    if len(answer.boxes) > _MAX_BOXES:
        raise _invalid(f"it sent more than {_MAX_BOXES} boxes")
    for box in answer.boxes:
        if labels and box.finding not in labels:
            raise _invalid("it sent a box of a label that its model does not have")
        if not _inside(box, width, height):
            raise _invalid(f"its box of {box.finding} does not lie in the image")


def _drawable(cam: CamGrid) -> bool:
    rows = cam.values
    if not 1 <= len(rows) <= _MAX_GRID_SIDE or not 1 <= len(rows[0]) <= _MAX_GRID_SIDE:
        return False
    if any(len(row) != len(rows[0]) for row in rows):
        return False
    return all(math.isfinite(value) for row in rows for value in row)


def _inside(box: DetectedBox, width: int, height: int) -> bool:
    # Comparisons with NaN are false, so a NaN never passes.
    edge = _EDGE_TOLERANCE_PX
    across = -edge <= box.x_min < box.x_max <= width + edge
    down = -edge <= box.y_min < box.y_max <= height + edge
    return across and down


def _invalid(detail: str) -> InferenceFailure:
    return InferenceFailure(FailureKind.INVALID_ANSWER, detail)
