"""Boxes and their labels over the image; a label stays inside it and off the other labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

from cxr_gateway.core.schemas import Box
from cxr_gateway.rendering.colours import colour_of, display_name
from cxr_gateway.rendering.text import percent

# x_min, y_min, x_max, y_max in pixels; the maxima are exclusive.
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels of the image that is drawn."""

    line_px: int
    pad_px: int
    font: ImageFont.FreeTypeFont


def draw_boxes(
    draw: ImageDraw.ImageDraw,
    boxes: Sequence[Box],
    scale: float,
    size: tuple[int, int],
    style: Style,
) -> list[Rectangle]:
    """Draw `boxes`, the weakest first so that the strongest lies on top.

    Args:
        draw: on an RGB canvas.
        boxes: highest ranking score first, in pixels of the uploaded image.
        scale: drawn pixels per uploaded pixel.
        size: width and height of the drawn image; nothing is drawn outside it.
        style: line width and letters.

    Returns:
        The rectangles of the labels, in the order of `boxes`.
    """
    outlines = [_outline(box, scale, size) for box in boxes]
    for box, outline in reversed(list(zip(boxes, outlines, strict=True))):
        _draw_outline(draw, outline, colour_of(box.finding), style.line_px)
    labels: list[Rectangle] = []
    for box, outline in zip(boxes, outlines, strict=True):
        text = f"{display_name(box.finding)} {percent(box.score)}"
        label = place_label(_label_size(text, style), outline, size, labels)
        _draw_label(draw, label, text, colour_of(box.finding), style)
        labels.append(label)
    return labels


def place_label(
    label: tuple[int, int], outline: Rectangle, size: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """Where a label of (width, height) goes: the first free place around its box.

    On top of the box, below it, inside at the top, inside at the bottom, each left- and then
    right-aligned; where all are taken, the one that overlaps the least. Always inside `size`.
    """
    width, height = label
    x_min, y_min, x_max, y_max = outline
    places = [
        _inside((x, y, x + width, y + height), size)
        for y in (y_min - height, y_max, y_min, y_max - height)
        for x in (x_min, x_max - width)
    ]
    # A place that had to be pushed back into the image may cover the box itself; that is
    # allowed, the outline stays visible around it.
    return min(places, key=lambda place: sum(_overlap(place, other) for other in taken))


def _outline(box: Box, scale: float, size: tuple[int, int]) -> Rectangle:
    width, height = size
    x_min = min(max(round(box.x_min * scale), 0), width - 1)
    y_min = min(max(round(box.y_min * scale), 0), height - 1)
    x_max = max(min(round(box.x_max * scale), width), x_min + 1)
    y_max = max(min(round(box.y_max * scale), height), y_min + 1)
    return x_min, y_min, x_max, y_max


def _draw_outline(draw: ImageDraw.ImageDraw, outline: Rectangle, colour: str, line_px: int) -> None:
    """A coloured frame just inside the box, with a dark line on both sides of it.

    The dark lines keep the frame visible on bone as well as on air.
    """
    x_min, y_min, x_max, y_max = outline
    for inset, line_colour, width in (
        (-1, "#000000", 1),
        (line_px, "#000000", 1),
        (0, colour, line_px),
    ):
        left, top = x_min + inset, y_min + inset
        right, bottom = x_max - 1 - inset, y_max - 1 - inset
        if right >= left and bottom >= top:
            draw.rectangle((left, top, right, bottom), outline=line_colour, width=width)


def _label_size(text: str, style: Style) -> tuple[int, int]:
    ascent, descent = style.font.getmetrics()
    return (
        round(style.font.getlength(text)) + 2 * style.pad_px,
        ascent + descent + style.pad_px,
    )


def _draw_label(
    draw: ImageDraw.ImageDraw, label: Rectangle, text: str, colour: str, style: Style
) -> None:
    x_min, y_min, x_max, y_max = label
    draw.rectangle((x_min, y_min, x_max - 1, y_max - 1), fill=colour, outline="#000000")
    middle = (y_min + y_max) / 2
    draw.text((x_min + style.pad_px, middle), text, fill="#000000", font=style.font, anchor="lm")


def _inside(place: Rectangle, size: tuple[int, int]) -> Rectangle:
    """`place` moved, and at last cut, into an image of `size`."""
    x_min, y_min, x_max, y_max = place
    left = max(min(x_min, size[0] - (x_max - x_min)), 0)
    top = max(min(y_min, size[1] - (y_max - y_min)), 0)
    return left, top, min(left + x_max - x_min, size[0]), min(top + y_max - y_min, size[1])


def _overlap(one: Rectangle, other: Rectangle) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
