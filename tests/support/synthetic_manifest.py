"""CSV manifests with drawn images, as a hospital or a generator would write them."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_contracts import Finding
from support.synthetic_nih import draw

Row = Mapping[str, str]


def write_manifest(path: Path, rows: Iterable[Row], *, side_px: int = 32) -> Path:
    """Write the CSV and draw the images that its rows name; `path`."""
    rows = list(rows)
    rng = np.random.default_rng(len(rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        image = path.parent / row["image"]
        image.parent.mkdir(parents=True, exist_ok=True)
        first = row["findings"].split("|")[0]
        finding = Finding(first) if first in set(Finding) else None
        Image.fromarray(draw(finding, side_px, rng)).save(image)
    return path


def whole_rows() -> list[dict[str, str]]:
    """Every finding on a training and on a validation patient, the split stated."""
    return [
        {
            "image": f"images/{split}-{finding.value}.png",
            "patient": f"{split}-{number % 5}",
            "findings": finding.value,
            "split": split,
        }
        for split in ("train", "validation")
        for number, finding in enumerate(Finding)
    ]
