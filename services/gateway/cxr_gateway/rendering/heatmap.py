"""The classifier's evidence map as a transparent image to lay over the radiograph."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_gateway.rendering.encode import png_bytes

MAX_SIDE_PX = 2048
# Evidence is in units of the finding's logit. A map whose peak stays below this is shown against
# this, not against itself, so that faint evidence looks faint.
MIN_FULL_SCALE = 2.0
MAX_OPACITY = 0.85

# Control points of a perceptual black-red-yellow ramp in the manner of inferno: lightness rises
# evenly, so that it reads the same in grey and under colour blindness.
_RAMP_AT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_RAMP_RGB = (
    (20, 11, 52),
    (87, 16, 110),
    (163, 44, 96),
    (226, 92, 48),
    (250, 164, 26),
    (252, 254, 164),
)


def render_heatmap(values: list[list[float]], width: int, height: int) -> bytes:
    """A palette PNG with alpha, of the aspect of the image.

    Colour and opacity rise with evidence for the finding: nothing at or below 0 (fully
    transparent), most at the larger of the map's peak and `MIN_FULL_SCALE`.

    Args:
        values: [h, w] contributions to the logit, row 0 at the top; the grid covers the image.
        width: of the radiograph in pixels; both sides are divided alike above `MAX_SIDE_PX`.
        height: of the radiograph in pixels.

    Raises:
        ValueError: `values` is empty or ragged, or holds something that is not finite.
    """
    grid = np.asarray(values, dtype=np.float32)
    if grid.ndim != 2 or not grid.size or not np.isfinite(grid).all():
        raise ValueError("a heat map needs a grid of finite numbers")
    shrink = min(1.0, MAX_SIDE_PX / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    # Interpolated before it is cut at 0: the other way round the cells' corners would show. What
    # is far below 0 is raised first, lest it pull the neighbouring evidence down.
    level = np.clip(grid / np.float32(max(float(grid.max()), MIN_FULL_SCALE)), -1.0, 1.0)
    smooth = np.minimum(
        _resized(level, size, Image.Resampling.BICUBIC),
        _resized(_highest_around(level), size, Image.Resampling.BILINEAR),
    )
    index = np.rint(np.clip(smooth, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    image = Image.fromarray(index).convert("P")
    palette, alpha = colour_ramp()
    image.putpalette(palette.tobytes())
    image.info["transparency"] = alpha.tobytes()
    return png_bytes(image)


def colour_ramp() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colour uint8 [256, 3] and opacity uint8 [256] of each level of evidence."""
    at = np.linspace(0.0, 1.0, 256)
    points = np.asarray(_RAMP_RGB, dtype=np.float64)
    colour = np.stack([np.interp(at, _RAMP_AT, points[:, k]) for k in range(3)], axis=1)
    # Rises without a step from nothing, and is full at half of the scale.
    rise = np.clip(2.0 * at, 0.0, 1.0)
    opacity = 255.0 * MAX_OPACITY * rise * rise * (3.0 - 2.0 * rise)
    return np.rint(colour).astype(np.uint8), np.rint(opacity).astype(np.uint8)


def _resized(
    level: NDArray[np.float32], size: tuple[int, int], kernel: Image.Resampling
) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(level).resize(size, kernel))


def _highest_around(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest level in a cell and its eight neighbours, at least 0.

    A bicubic kernel overshoots; bounded by this it shows no evidence where there is none.
    """
    rows, columns = level.shape
    padded = np.pad(np.maximum(level, np.float32(0.0)), 1)
    shifts = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    highest: NDArray[np.float32] = np.max(shifts, axis=0)
    return highest
