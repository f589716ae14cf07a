"""Images for the archive: the radiograph, the overlay, the heat maps; and their colours."""

from cxr_gateway.rendering.colours import FINDING_COLOURS, PRIORITY_COLOURS, colour_of
from cxr_gateway.rendering.encode import render_image, render_pixels
from cxr_gateway.rendering.heatmap import render_heatmap
from cxr_gateway.rendering.overlay import overlay_scale, render_overlay
from cxr_gateway.rendering.turn import Turn

__all__ = [
    "FINDING_COLOURS",
    "PRIORITY_COLOURS",
    "Turn",
    "colour_of",
    "overlay_scale",
    "render_heatmap",
    "render_image",
    "render_overlay",
    "render_pixels",
]
