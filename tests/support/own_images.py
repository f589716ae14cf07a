"""A table of made-up images with labels of nobody else's: shapes drawn onto synthetic radiographs.

The radiographs are the page's examples, which a generator made, each moved and toned at random.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

EXAMPLES = Path(__file__).parents[2] / "frontend" / "public" / "examples"
LABELS = ("Ring", "Bar", "Metal_clip")
_SIDE_PX = 320


def write_own_images(folder: Path, n: int, *, seed: int = 1) -> Path:
    """`n` images of about half as many patients below `folder`; the table, `my.csv`.

    Beside it lie `boxes.json` (COCO) and `boxes.csv`, with the place of each shape.
    """
    generator = np.random.default_rng(seed)
    chests = [Image.open(path).convert("L") for path in sorted(EXAMPLES.glob("*.png"))]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, boxes = [], []
    for number in range(n):
        image = _varied(chests[number % len(chests)], generator)
        shown = [label for label in LABELS if generator.random() < 0.35]
        name = f"images/{number:04d}.png"
        for label in shown:
            boxes.append((name, label, *_drawn(image, label, generator)))
        image.save(folder / name, compress_level=1)
        rows.append([name, f"p{number // 2:03d}", ";".join(shown)])
    _write(folder / "my.csv", ["image", "patient", "labels"], rows)
    _write(folder / "boxes.csv", ["image", "label", "x_min", "y_min", "x_max", "y_max"], boxes)
    (folder / "boxes.json").write_text(json.dumps(_coco(rows, boxes)))
    return folder / "my.csv"


def _varied(chest: Image.Image, generator: np.random.Generator) -> Image.Image:
    side, cut = chest.width, int(generator.integers(0, chest.width // 12 + 1))
    left, top = (int(generator.integers(0, cut + 1)) for _ in range(2))
    part = chest.crop((left, top, left + side - cut, top + side - cut)).resize((_SIDE_PX, _SIDE_PX))
    grey = np.asarray(part, dtype=np.float32) * generator.uniform(0.85, 1.1)
    grey += generator.normal(0, 2, grey.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _drawn(
    image: Image.Image, label: str, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw a shape somewhere in the middle; its corners in px."""
    side = int(generator.integers(40, 64))
    x, y = (int(generator.integers(60, _SIDE_PX - 60 - side)) for _ in range(2))
    pen, box = ImageDraw.Draw(image), (x, y, x + side, y + side)
    if label == "Ring":
        pen.ellipse(box, outline=255, width=7)
    elif label == "Bar":
        box = (x, y, x + side, y + side // 3)
        pen.rectangle(box, fill=250)
    else:
        pen.line((x, y, x + side, y + side), fill=255, width=6)
        pen.line((x, y + side, x + side, y), fill=255, width=6)
    return box


def _coco(
    rows: list[list[str]], boxes: list[tuple[str, str, int, int, int, int]]
) -> dict[str, Any]:
    ids = {row[0]: number for number, row in enumerate(rows)}
    return {
        "images": [
            {"id": number, "file_name": name, "width": _SIDE_PX, "height": _SIDE_PX}
            for name, number in ids.items()
        ],
        "categories": [{"id": n, "name": label} for n, label in enumerate(LABELS)],
        "annotations": [
            {
                "id": n,
                "image_id": ids[name],
                "category_id": LABELS.index(label),
                "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            }
            for n, (name, label, x_min, y_min, x_max, y_max) in enumerate(boxes)
        ],
    }


def _write(path: Path, header: list[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
