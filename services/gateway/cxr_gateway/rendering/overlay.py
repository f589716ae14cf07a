"""The image a doctor can save: the radiograph, its boxes, and a panel that says what it means."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxr_contracts import FindingProbability
from cxr_gateway.core.schemas import Box, Triage, UsedModel
from cxr_gateway.rendering.boxes import Style, draw_boxes
from cxr_gateway.rendering.colours import PANEL
from cxr_gateway.rendering.corners import Corners, draw_corners
from cxr_gateway.rendering.encode import png_bytes
from cxr_gateway.rendering.panel import Panel, draw_panel, panel_findings, panel_height
from cxr_gateway.rendering.text import face

MAX_SIDE_PX = 2048
# Below this the panel's letters would not be legible; smaller radiographs are drawn enlarged.
MIN_WIDTH_PX = 640


def overlay_scale(width: int, height: int) -> float:
    """Drawn pixels per pixel of the uploaded image."""
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    return max(scale, min(MIN_WIDTH_PX / width, MAX_SIDE_PX / max(width, height)))


def render_overlay(
    grey: NDArray[np.uint8],
    *,
    boxes: Sequence[Box],
    findings: Sequence[FindingProbability],
    triage: Triage | None,
    models: Sequence[UsedModel],
    received_at: datetime,
    note: str | None = None,
    laid_over: Image.Image | None = None,
    corners: Corners | None = None,
) -> bytes:
    """The burnt-in overlay as an RGB PNG; the same input gives the same bytes.

    The radiograph keeps its own size up to a longest side of `MAX_SIDE_PX`, and is enlarged to a
    width of `MIN_WIDTH_PX`; the panel is added below it, so pixel (x, y) of the radiograph is at
    (x, y) * `overlay_scale(width, height)`.

    Args:
        grey: uint8 [H, W].
        boxes: highest ranking score first, in pixels of `grey`.
        findings: all of them, the strongest first; none where nothing was read. Three are shown,
            the one that decided on the priority first.
        triage: priority and its reason; None where nothing was diagnosed.
        models: those that took part.
        received_at: when the study came in; written in UTC.
        note: what else a viewer has to know: that a service was missing, or why the
            study was rejected.
        laid_over: an RGBA image, drawn over the whole radiograph and beneath the boxes.
        corners: whose radiograph it is; None draws nothing.
    """
    height, width = grey.shape
    scale = overlay_scale(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    radiograph = Image.fromarray(grey)
    if size != radiograph.size:
        radiograph = radiograph.resize(size, Image.Resampling.LANCZOS)
    panel = Panel(
        panel_findings(findings, triage), triage, models, received_at.astimezone(UTC), note
    )
    unit = size[0] / 1024
    canvas = Image.new("RGB", (size[0], size[1] + panel_height(panel, unit)), PANEL)
    canvas.paste(radiograph.convert("RGB"), (0, 0))
    if laid_over is not None:
        above = laid_over.resize(size, Image.Resampling.BILINEAR)
        canvas.paste(above.convert("RGB"), (0, 0), above)
    draw = ImageDraw.Draw(canvas)
    letter_px = max(12, round(17 * min(size) / 1024))
    style = Style(
        line_px=max(2, round(3 * min(size) / 1024)),
        pad_px=max(3, letter_px // 3),
        font=face(letter_px),
    )
    draw_boxes(draw, boxes, scale, size, style)
    if corners is not None:
        draw_corners(draw, corners, size, letter_px)
    draw_panel(draw, panel, (0, size[1], *canvas.size), unit)
    return png_bytes(canvas)
