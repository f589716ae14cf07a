"""A small data set in NIH's layout, drawn by the tests: no real image stands in the project.

A finding is a bright square at a place of its own, so that a network can learn it and a test can
tell that it did.
"""

import atexit
import csv
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_contracts import NO_FINDING, Finding

SIZES_PX = (64, 128, 256)
_CELL = 1 / 4
# NIH boxed the first eight, RSNA's radiologists three.
_NIH_BOXED = tuple(Finding)[:8]
_OPACITIES = (Finding.PNEUMONIA, Finding.CONSOLIDATION, Finding.INFILTRATION)


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
    folder = root / "nih"
    # Files of their own, with times of their own: a test may change them.
    shutil.copytree(_drawn(n_patients, seed, first), folder, copy_function=shutil.copyfile)
    return folder


@functools.cache
def _drawn(n_patients: int, seed: int, first: int) -> Path:
    """The same, once a process: to draw and store them takes ten times as long as to copy them."""
    made = tempfile.TemporaryDirectory(prefix="cxr-nih-")
    atexit.register(made.cleanup)
    folder, rng, rows = Path(made.name), np.random.default_rng(seed), []
    (folder / "images").mkdir()
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


def write_boxes(nih: Path) -> None:
    """A box of NIH's around each square of the eight findings that NIH boxed."""
    lines = [["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]]
    for name, finding in _labels(nih):
        if finding in _NIH_BOXED:
            lines.append([name, finding.value, *_square(finding)])
    with (nih / "BBox_List_2017.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)


def write_reads(nih: Path) -> Path:
    """RSNA's reads of all images, with a box around each square of an opacity; `rsna/`."""
    lines = [["Image Index", "class", "x", "y", "width", "height"]]
    for name, finding in _labels(nih):
        read = "Normal" if finding is None else "No Lung Opacity / Not Normal"
        box = [""] * 4
        if finding in _OPACITIES:
            read, box = "Lung Opacity", _square(finding)
        lines.append([name, read, *box])
    folder = nih.parent / "rsna"
    folder.mkdir()
    with (folder / "reads.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return folder


def _labels(nih: Path) -> list[tuple[str, Finding | None]]:
    [entries] = nih.glob("Data_Entry*.csv")
    with entries.open(newline="") as stream:
        return [
            (line["Image Index"], None if label == NO_FINDING else Finding(label))
            for line in csv.DictReader(stream)
            for label in [line["Finding Labels"]]
        ]


def _square(finding: Finding) -> list[str]:
    """Left, top, width and height in NIH's 1024 px frame."""
    row, column = divmod(list(Finding).index(finding), 4)
    return [str(256 * column), str(256 * row), "256", "256"]
