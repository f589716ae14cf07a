"""The picture a doctor can save: the film, its boxes, and a panel that says what it means."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cxr_contracts import FindingProbability
from cxr_gateway.core.schemas import Box, Triage, UsedModel
from cxr_gateway.rendering.boxes import Style, draw_boxes
from cxr_gateway.rendering.colours import PANEL
from cxr_gateway.rendering.encode import png_bytes
from cxr_gateway.rendering.panel import Panel, draw_panel, panel_height
from cxr_gateway.rendering.text import face

MAX_SIDE_PX = 2048
# Below this the panel's letters would not be legible; smaller films are drawn enlarged.
MIN_WIDTH_PX = 640


def overlay_scale(width: int, height: int) -> float:
    """Drawn pixels per pixel of the uploaded image."""
    scale = min(1.0, MAX_SIDE_PX / max(width, height))
    return max(scale, min(MIN_WIDTH_PX / width, MAX_SIDE_PX / max(width, height)))


def render_overlay(
    grey: NDArray[np.uint8],
    *,
    boxes: Sequence[Box],
    top_findings: Sequence[FindingProbability],
    triage: Triage | None,
    models: Sequence[UsedModel],
    received_at: datetime,
    note: str | None = None,
) -> bytes:
    """The burnt-in overlay as an RGB PNG; the same input gives the same bytes.

    The film keeps its own size up to a longest side of `MAX_SIDE_PX`, and is enlarged to a
    width of `MIN_WIDTH_PX`; the panel is added below it, so pixel (x, y) of the film is at
    (x, y) * `overlay_scale(width, height)`.

    Args:
        grey: uint8 [H, W].
        boxes: highest ranking score first, in pixels of `grey`.
        top_findings: the three most probable; fewer, or none, where nothing was read.
        triage: priority and its reason; None where nothing was diagnosed.
        models: those that took part.
        received_at: when the study came in; written in UTC.
        note: what else the reader of the picture has to know: that a service was missing, or
            why the study was rejected.
    """
    height, width = grey.shape
    scale = overlay_scale(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    film = Image.fromarray(grey)
    if size != film.size:
        film = film.resize(size, Image.Resampling.LANCZOS)
    panel = Panel(top_findings, triage, models, received_at.astimezone(UTC), note)
    unit = size[0] / 1024
    canvas = Image.new("RGB", (size[0], size[1] + panel_height(panel, unit)), PANEL)
    canvas.paste(film.convert("RGB"), (0, 0))
    draw = ImageDraw.Draw(canvas)
    letter_px = max(12, round(17 * min(size) / 1024))
    style = Style(
        line_px=max(2, round(3 * min(size) / 1024)),
        pad_px=max(3, letter_px // 3),
        font=face(letter_px),
    )
    draw_boxes(draw, boxes, scale, size, style)
    draw_panel(draw, panel, (0, size[1], *canvas.size), unit)
    return png_bytes(canvas)
