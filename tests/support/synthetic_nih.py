"""A small data set in NIH's layout, drawn by the tests: no real image stands in the project.

A finding is a bright square at a place of its own, so that a network can learn it and a test can
tell that it did.
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_contracts import NO_FINDING, Finding

SIZES_PX = (64, 128, 256)
_CELL = 1 / 4


def draw(finding: Finding | None, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """A noisy dark image, uint8 [size_px, size_px], with the finding's square on it."""
    image = rng.normal(80, 12, (size_px, size_px))
    if finding is not None:
        row, column = divmod(list(Finding).index(finding), 4)
        top, left = int(row * _CELL * size_px), int(column * _CELL * size_px)
        side = int(_CELL * size_px)
        image[top : top + side, left : left + side] += 120
    return np.clip(image, 0, 255).astype(np.uint8)


def write_nih(root: Path, n_patients: int = 140, seed: int = 0, first: int = 1) -> Path:
    """Write two images a patient, the findings in turn, under `root/nih`; that folder."""
    rng = np.random.default_rng(seed)
    folder = root / "nih"
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(first, first + n_patients):
        for visit in range(2):
            finding = (None, *Finding)[(number + 7 * visit) % 15]
            name = f"{number:08d}_{visit:03d}.png"
            image = draw(finding, SIZES_PX[number % 3], rng)
            Image.fromarray(image).save(folder / "images" / name)
            label = NO_FINDING if finding is None else finding.value
            facts = [visit, number, 20 + number % 45, "FM"[number % 2], ("PA", "AP")[visit]]
            rows.append([name, label, *facts])
    header = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID"]
    header += ["Patient Age", "Patient Gender", "View Position"]
    with (folder / "Data_Entry_2017_v2020.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return folder
