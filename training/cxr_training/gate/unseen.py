"""Drawn strangers that only judge: kinds whose makers training never calls."""

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
_SENTENCE = "No focal consolidation. The heart is not enlarged. Follow-up in six weeks. "


def blank(rng: np.random.Generator, side: int) -> Picture:
    """One grey value, black and white among them."""
    return np.full((side, side), rng.choice([0, 255, int(rng.integers(256))]), np.uint8)


def salt_and_pepper(rng: np.random.Generator, side: int) -> Picture:
    """Black and white specks on grey."""
    picture = np.full((side, side), 128, np.uint8)
    specks = rng.random((side, side)) < rng.uniform(0.02, 0.8)
    picture[specks] = rng.choice([0, 255], int(specks.sum()))
    return picture


def julia(rng: np.random.Generator, side: int) -> Picture:
    """A Julia set, shaded by escape time."""
    y, x = np.mgrid[-1.5 : 1.5 : side * 1j, -1.5 : 1.5 : side * 1j]
    z, escaped = x + 1j * y, np.zeros((side, side))
    constant = complex(rng.uniform(-0.9, 0.3), rng.uniform(0.1, 0.8))
    for _ in range(40):
        inside = np.abs(z) < 4
        z[inside] = z[inside] ** 2 + constant
        escaped += inside
    return (escaped * 6).astype(np.uint8)


def mirrored_clouds(rng: np.random.Generator, side: int) -> Picture:
    """Clouds made symmetric from left to right, as a thorax is."""
    coarse = rng.random((int(rng.integers(3, 9)), int(rng.integers(2, 6))))
    image = Image.fromarray((np.hstack([coarse, coarse[:, ::-1]]) * 255).astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def plot(rng: np.random.Generator, side: int) -> Picture:
    """A plot as matplotlib draws it: curves, points, bars, or a field with a colour bar."""
    figure = Figure(figsize=(side / 50, side / 50), dpi=50)
    axes, kind = figure.subplots(), rng.integers(4)
    if kind == 0:
        axes.plot(rng.standard_normal((60, int(rng.integers(1, 5)))).cumsum(axis=0))
    elif kind == 1:
        axes.scatter(rng.random(200), rng.random(200), c=rng.random(200))
    elif kind == 2:
        axes.bar(np.arange(8), rng.random(8))
    else:
        field = rng.standard_normal((12, 12)).cumsum(axis=0).cumsum(axis=1)
        figure.colorbar(axes.imshow(field, cmap=str(rng.choice(["viridis", "gray", "jet"]))))
    axes.set(title="Figure", xlabel="days", ylabel="dose")
    return _rendered(figure)


def letter(rng: np.random.Generator, side: int) -> Picture:
    """A page of prose in a serif or a sans-serif face."""
    figure = Figure(figsize=(side / 50, side * 1.3 / 50), dpi=50)
    start = int(rng.integers(len(_SENTENCE)))
    words = (_SENTENCE * 40)[start:]
    width = int(rng.integers(20, 60))
    lines = [words[i : i + width] for i in range(0, width * int(rng.integers(4, 24)), width)]
    with mpl.rc_context({"font.family": str(rng.choice(["DejaVu Serif", "DejaVu Sans"]))}):
        figure.text(0.08, 0.95, "\n".join(lines), va="top", size=side / 50 * rng.uniform(1, 2.5))
        return _rendered(figure)


def colour_chart(rng: np.random.Generator, side: int) -> Picture:
    """A chart of coloured patches with gaps, turned to grey."""
    n = int(rng.integers(3, 9))
    patches = rng.integers(0, 256, (n, n, 3), dtype=np.uint8)
    image = Image.fromarray(patches).convert("L").resize((side, side), Image.Resampling.NEAREST)
    picture, step = np.array(image), max(2, side // n)
    for i in range(0, side, step):
        picture[i : i + max(1, step // 10)] = 30
        picture[:, i : i + max(1, step // 10)] = 30
    return picture


UNSEEN: dict[str, Callable[[np.random.Generator, int], Picture]] = {
    "blank": blank,
    "salt and pepper": salt_and_pepper,
    "Julia set": julia,
    "clouds, left-right symmetric": mirrored_clouds,
    "plot": plot,
    "page of prose": letter,
    "colour chart": colour_chart,
}


def _rendered(figure: Figure) -> Picture:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    with Image.open(stream) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)
