"""What a reader's answer must hold beyond its schema before it may stand in a study."""

import math

from cxr_contracts import CamGrid, ClassifyResponse, DetectedBox, DetectResponse, Finding
from cxr_gateway.inference.failures import FailureKind, InferenceFailure

_MAX_BOXES = 1000
_MAX_GRID_SIDE = 512
# Boxes are rounded to float32 on their way; a pixel beyond the edge is cut off, not refused.
_EDGE_TOLERANCE_PX = 1.0


def check_classified(answer: ClassifyResponse) -> None:
    """Each of the fourteen once, and maps that can be drawn; raises `InferenceFailure`."""
    named = [row.finding for row in answer.findings]
    if sorted(named) != sorted(Finding):
        raise _invalid("it did not answer each of the fourteen findings once")
    explained = [cam.finding for cam in answer.cams]
    if len(set(explained)) != len(explained):
        raise _invalid("it sent two maps of one finding")
    for cam in answer.cams:
        if not _drawable(cam):
            raise _invalid(f"its map of {cam.finding} is not a grid of finite numbers")


def check_detected(answer: DetectResponse, width: int, height: int) -> None:
    """Boxes of the picture that was sent; raises `InferenceFailure`.

    Args:
        answer: what the detector said.
        width: of the picture that was sent, in pixels.
        height: likewise.
    """
    found = (answer.image.width, answer.image.height)
    if found != (width, height):
        raise _invalid(
            f"it saw a picture of {found[0]} x {found[1]} pixels, sent were {width} x {height}"
        )
    if len(answer.boxes) > _MAX_BOXES:
        raise _invalid(f"it sent more than {_MAX_BOXES} boxes")
    for box in answer.boxes:
        if not _inside(box, width, height):
            raise _invalid(f"its box of {box.finding} does not lie in the picture")


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
