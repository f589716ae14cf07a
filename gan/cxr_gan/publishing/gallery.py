"""A picture of what a generator makes: a row a label, the first seeds, none of them chosen."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cxr_contracts import NO_FINDING
from cxr_gan.published import Synthesizer
from cxr_gan.sampling.marking import SyntheticMark, write_marked

COLUMNS = 8
_ROWS_WITHOUT_LABELS = 4
_TILE_PX = 128
_MARGIN_PX = 4
_LABEL_PX = 150
_FONT_PX = 15
_BACKGROUND, _INK = 255, 0


def write_gallery(synthesizer: Synthesizer, path: Path) -> None:
    """Write the gallery.

    The same seeds stand in every row, so that a column differs by what was asked for alone. A
    generator without labels fills a few rows.
    """
    labels = synthesizer.spec.labels
    rows = [frozenset[str](), *(frozenset({label}) for label in labels)]
    titles = [NO_FINDING if labels else "", *labels]
    seeds = [list(range(1, COLUMNS + 1)) for _ in rows]
    if not labels:
        rows, titles = rows * _ROWS_WITHOUT_LABELS, titles * _ROWS_WITHOUT_LABELS
        seeds = [
            list(range(1 + row * COLUMNS, 1 + (row + 1) * COLUMNS))
            for row in range(_ROWS_WITHOUT_LABELS)
        ]
    left = _LABEL_PX if labels else 0
    step = _TILE_PX + _MARGIN_PX
    canvas = Image.new("L", (left + COLUMNS * step, len(rows) * step), _BACKGROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT_PX)
    for row, (findings, title) in enumerate(zip(rows, titles, strict=True)):
        asked = synthesizer.asked([findings] * COLUMNS)
        place = (_MARGIN_PX, row * step + _TILE_PX // 2)
        pen.text(place, title.replace("_", " "), _INK, font, anchor="lm")
        for column, image in enumerate(synthesizer.images(seeds[row], asked)):
            tile = Image.fromarray(image).resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC)
            canvas.paste(tile, (left + column * step, row * step))
    shown = f"1 to {seeds[-1][-1]}"
    mark = SyntheticMark.of(synthesizer.identity, shown, "; ".join(filter(None, titles)), None)
    write_marked(path, np.asarray(canvas), mark)
