"""Synthetic out-of-distribution images: noise, shapes, text, charts, screens, phantoms.

Every function takes a generator and a side and returns uint8 [side, side]; `letter` alone
is higher than wide. They are meant to be as varied as possible rather than pretty. Training draws
`TRAINED_KINDS`; `UNTRAINED_KINDS` are for evaluation alone.
"""

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from cxr_training.ood.data import GreyImage

Floats = NDArray[np.float64]
_WORDS = (  # noqa: SIM905 - shorter to read
    "patient report chest name date left right hospital invoice total page summary lung result "
    "dose time the of and with normal figure table value index note error file open"
).split()
_SENTENCE = "No focal consolidation. The heart is not enlarged. Follow-up in six weeks. "


def noise(rng: np.random.Generator, side: int) -> GreyImage:
    """Noise of a random spectrum, from white to cloud-like."""
    exponent = rng.uniform(0.0, 3.5)
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    stretch = rng.uniform(0.3, 3.0)
    radius = np.hypot(fy * stretch, fx / stretch)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / radius ** (exponent / 2)
    return _to_grey(np.fft.irfft2(spectrum, s=(side, side)), rng)


def gradient(rng: np.random.Generator, side: int) -> GreyImage:
    """A smooth ramp, a vignette or a plain area with a little noise."""
    y, x = np.mgrid[0:side, 0:side] / side - rng.uniform(0, 1, (2, 1, 1))
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    field = [ramp, np.hypot(x, y), ramp * 0.0, np.hypot(x, y) * ramp][rng.integers(4)]
    return _to_grey(field + rng.normal(0, 10 ** rng.uniform(-4, -1), (side, side)), rng)


def stripes(rng: np.random.Generator, side: int) -> GreyImage:
    """Stripes, chess boards and rings, hard or soft."""
    y, x = np.mgrid[0:side, 0:side] / side - rng.uniform(0.2, 0.8, (2, 1, 1))
    angle, waves = rng.uniform(0, np.pi), rng.uniform(1, 20)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    wave = np.sin(2 * np.pi * waves * u)
    field = [
        wave,
        wave * np.sin(2 * np.pi * waves * v),
        np.sin(2 * np.pi * waves * np.hypot(x, y)),
        wave + np.sin(2 * np.pi * rng.uniform(1, 10) * v),
    ][rng.integers(4)]
    if rng.random() < 0.5:
        field = np.sign(field)
    return _to_grey(field + rng.normal(0, 0.1 * rng.random(), (side, side)), rng)


def shapes(rng: np.random.Generator, side: int) -> GreyImage:
    """Ellipses, boxes, polygons and lines, a few or many."""
    image = Image.new("L", (side, side), int(rng.integers(256)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 25))):
        grey = int(rng.integers(256))
        corners = rng.integers(-side // 8, side + side // 8, (int(rng.integers(3, 7)), 2))
        box = [*corners[:2].min(axis=0), *(corners[:2].max(axis=0) + 1)]
        kind = rng.integers(4)
        if kind == 0:
            draw.ellipse(box, fill=grey)
        elif kind == 1:
            draw.rectangle(box, fill=grey)
        elif kind == 2:
            draw.polygon([tuple(corner) for corner in corners.tolist()], fill=grey)
        else:
            draw.line(
                [tuple(c) for c in corners.tolist()], fill=grey, width=int(rng.integers(1, 9))
            )
    return _softened(image, rng)


def text(rng: np.random.Generator, side: int) -> GreyImage:
    """A page of text, dark on light or light on dark."""
    light = bool(rng.random() < 0.75)
    image = Image.new("L", (side, side), 245 if light else 10)
    draw = ImageDraw.Draw(image)
    size = float(rng.uniform(4, side / 4))
    font, y = ImageFont.load_default(size), rng.uniform(0, side / 6)
    left = rng.uniform(0, side / 5)
    while y < side:
        words = " ".join(rng.choice(_WORDS, int(rng.integers(1, 9))))
        draw.text((left, y), words, fill=20 if light else 240, font=font)
        y += size * rng.uniform(1.1, 2.2)
    return _softened(image, rng)


def chart(rng: np.random.Generator, side: int) -> GreyImage:
    """Bars, a curve, or a chart of grey patches, with axes and labels."""
    image = Image.new("L", (side, side), int(rng.choice([255, 250, 20])))
    draw = ImageDraw.Draw(image)
    kind, n = rng.integers(3), int(rng.integers(3, 13))
    step, ink = side / n, int(rng.integers(60, 180))
    if kind == 0:
        for i in range(n):
            top = float(rng.uniform(0.1, 0.9) * side)
            draw.rectangle([i * step + 2, top, (i + 0.8) * step + 2, side * 0.92], fill=ink)
    elif kind == 1:
        for _ in range(int(rng.integers(1, 4))):
            heights = np.cumsum(rng.normal(0, 0.1, n)) * side + side / 2
            points = [(i * step, float(height)) for i, height in enumerate(heights)]
            draw.line(points, fill=ink, width=2)
    else:
        for i in range(n * n):
            x, y = (i % n) * step, (i // n) * step
            draw.rectangle([x, y, x + step, y + step], fill=int(rng.integers(256)))
    draw.line([(6, 4), (6, side - 8), (side - 4, side - 8)], fill=ink)
    draw.text((side / 4, 1), str(rng.choice(_WORDS)), fill=ink, font=ImageFont.load_default(9))
    return np.asarray(image)


def screen(rng: np.random.Generator, side: int) -> GreyImage:
    """Windows, panels, buttons and lists, as a screenshot has them."""
    dark = bool(rng.random() < 0.5)
    image = Image.new(
        "L", (side, side), int(rng.integers(15, 50) if dark else rng.integers(220, 256))
    )
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(float(rng.uniform(5, 9)))
    draw.rectangle([0, 0, side, side * rng.uniform(0.04, 0.12)], fill=int(rng.integers(256)))
    if rng.random() < 0.6:
        draw.rectangle([0, 0, side * rng.uniform(0.1, 0.35), side], fill=int(rng.integers(256)))
    for _ in range(int(rng.integers(2, 18))):
        x, y = rng.uniform(0, side * 0.8, 2)
        box = [x, y, x + rng.uniform(5, side / 2), y + rng.uniform(4, side / 3)]
        draw.rectangle(box, fill=int(rng.integers(256)), outline=int(rng.integers(256)))
        draw.text((x + 2, y + 1), str(rng.choice(_WORDS)), fill=int(rng.integers(256)), font=font)
    return np.asarray(image)


def phantom(rng: np.random.Generator, side: int) -> GreyImage:
    """Nested ellipses on black, as slices of a body look (after Shepp and Logan 1974)."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    field = np.zeros((side, side))
    centre, radii = rng.uniform(-0.1, 0.1, 2), rng.uniform(0.22, 0.5, 2)
    outer = _ellipse(x, y, centre, radii, rng.uniform(-0.3, 0.3))
    field[outer] = rng.uniform(0.4, 1.0)
    inner = _ellipse(x, y, centre, radii * rng.uniform(0.8, 0.97), rng.uniform(-0.1, 0.1))
    field[inner] = rng.uniform(0.1, 0.7)
    for _ in range(int(rng.integers(2, 14))):
        place = centre + rng.uniform(-0.8, 0.8, 2) * radii
        organ = _ellipse(x, y, place, rng.uniform(0.02, 0.2, 2), rng.uniform(0, np.pi))
        field[organ & inner] += rng.uniform(-0.4, 0.5)
    texture = noise(rng, side) / 255.0 - 0.5
    field = np.where(outer, field + texture * rng.uniform(0, 0.3), 0.0)
    return _blurred(_to_grey(field, rng, gamma=False), rng)


def limb(rng: np.random.Generator, side: int) -> GreyImage:
    """Bright shafts in soft tissue on a plain ground, as a limb's radiograph looks."""
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    angle = rng.normal(0, 0.3) + (np.pi / 2 if rng.random() < 0.3 else 0.0)
    across, along = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    widen = 1 + rng.uniform(-0.8, 0.8) * along + rng.uniform(0, 2) * along**2
    soft = np.clip(1 - (across / (rng.uniform(0.12, 0.45) * widen)) ** 2, 0, None) ** 0.5
    field = soft * rng.uniform(0.2, 0.6)
    for _ in range(int(rng.integers(1, 6))):
        width = rng.uniform(0.02, 0.12) * widen
        shaft = (across - rng.uniform(-0.25, 0.25)) / width
        profile = np.clip(1 - shaft**2, 0, None) ** 0.5
        hollow = np.clip(1 - (shaft / 0.6) ** 2, 0, None) ** 0.5
        ends = (np.abs(along - rng.uniform(-0.2, 0.2)) < rng.uniform(0.2, 0.8)).astype(float)
        field += ends * (profile - hollow * rng.uniform(0, 0.7)) * rng.uniform(0.2, 0.6)
    return _blurred(_to_grey(field + (noise(rng, side) / 255.0) * 0.1, rng), rng)


def echo(rng: np.random.Generator, side: int) -> GreyImage:
    """A speckled fan or box on black with small lettering, as ultrasound screens look."""
    y, x = np.mgrid[0:side, 0:side] / side
    apex, spread = rng.uniform(0.35, 0.65), rng.uniform(0.4, 1.1)
    top = rng.uniform(-0.1, 0.2)
    fan = (np.abs(np.arctan2(x - apex, y - top + 1e-6)) < spread) & (
        np.hypot(x - apex, y - top) < rng.uniform(0.5, 0.9)
    )
    box = (np.abs(x - 0.5) < rng.uniform(0.2, 0.5)) & (np.abs(y - 0.5) < rng.uniform(0.2, 0.45))
    tissue = (noise(rng, side) / 255.0) * rng.rayleigh(0.6, (side, side))
    field = np.where(fan if rng.random() < 0.6 else box, tissue, 0.0)
    image = Image.fromarray(_to_grey(field, rng, gamma=False))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 8))):
        place = tuple(rng.uniform(0, side * 0.9, 2).tolist())
        draw.text(place, str(rng.choice(_WORDS)), fill=255, font=ImageFont.load_default(7))
    return np.asarray(image)


def blobs(rng: np.random.Generator, side: int) -> GreyImage:
    """Thresholded or soft blobs, cells and spots."""
    field = np.asarray(Image.fromarray(noise(rng, side)).filter(ImageFilter.GaussianBlur(2)), float)
    if rng.random() < 0.6:
        field = np.digitize(field, np.quantile(field, np.sort(rng.random(int(rng.integers(1, 4))))))
    return _blurred(_to_grey(field.astype(float), rng), rng)


def blank(rng: np.random.Generator, side: int) -> GreyImage:
    """One grey value, black and white among them."""
    return np.full((side, side), rng.choice([0, 255, int(rng.integers(256))]), np.uint8)


def salt_and_pepper(rng: np.random.Generator, side: int) -> GreyImage:
    """Black and white specks on grey."""
    grey = np.full((side, side), 128, np.uint8)
    specks = rng.random((side, side)) < rng.uniform(0.02, 0.8)
    grey[specks] = rng.choice([0, 255], int(specks.sum()))
    return grey


def julia(rng: np.random.Generator, side: int) -> GreyImage:
    """A Julia set, shaded by escape time."""
    y, x = np.mgrid[-1.5 : 1.5 : side * 1j, -1.5 : 1.5 : side * 1j]
    z, escaped = x + 1j * y, np.zeros((side, side))
    constant = complex(rng.uniform(-0.9, 0.3), rng.uniform(0.1, 0.8))
    for _ in range(40):
        inside = np.abs(z) < 4
        z[inside] = z[inside] ** 2 + constant
        escaped += inside
    return (escaped * 6).astype(np.uint8)


def mirrored_clouds(rng: np.random.Generator, side: int) -> GreyImage:
    """Clouds made symmetric from left to right, as a thorax is."""
    coarse = rng.random((int(rng.integers(3, 9)), int(rng.integers(2, 6))))
    image = Image.fromarray((np.hstack([coarse, coarse[:, ::-1]]) * 255).astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def plot(rng: np.random.Generator, side: int) -> GreyImage:
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


def letter(rng: np.random.Generator, side: int) -> GreyImage:
    """A page of prose in a serif or a sans-serif face."""
    figure = Figure(figsize=(side / 50, side * 1.3 / 50), dpi=50)
    start = int(rng.integers(len(_SENTENCE)))
    words = (_SENTENCE * 40)[start:]
    width = int(rng.integers(20, 60))
    lines = [words[i : i + width] for i in range(0, width * int(rng.integers(4, 24)), width)]
    with mpl.rc_context({"font.family": str(rng.choice(["DejaVu Serif", "DejaVu Sans"]))}):
        figure.text(0.08, 0.95, "\n".join(lines), va="top", size=side / 50 * rng.uniform(1, 2.5))
        return _rendered(figure)


def colour_chart(rng: np.random.Generator, side: int) -> GreyImage:
    """A chart of coloured patches with gaps, turned to grey."""
    n = int(rng.integers(3, 9))
    patches = rng.integers(0, 256, (n, n, 3), dtype=np.uint8)
    image = Image.fromarray(patches).convert("L").resize((side, side), Image.Resampling.NEAREST)
    grey, step = np.array(image), max(2, side // n)
    for i in range(0, side, step):
        grey[i : i + max(1, step // 10)] = 30
        grey[:, i : i + max(1, step // 10)] = 30
    return grey


Draw = Callable[[np.random.Generator, int], GreyImage]
TRAINED_KINDS: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (noise, gradient, stripes, shapes, text, chart, screen, phantom, limb, echo, blobs)
}
UNTRAINED_KINDS: dict[str, Draw] = {
    "blank": blank,
    "salt and pepper": salt_and_pepper,
    "Julia set": julia,
    "clouds, left-right symmetric": mirrored_clouds,
    "plot": plot,
    "page of prose": letter,
    "colour chart": colour_chart,
}


def draw_synthetic(rng: np.random.Generator, n: int, side: int) -> GreyImage:
    """`n` images, the kinds in turn; uint8 [n, side, side]."""
    kinds = list(TRAINED_KINDS.values())
    return np.stack([kinds[i % len(kinds)](rng, side) for i in range(n)])


def _ellipse(
    x: Floats, y: Floats, centre: Floats, radii: Floats, angle: float
) -> NDArray[np.bool_]:
    dx, dy = x - centre[0], y - centre[1]
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    inside: NDArray[np.bool_] = (u / radii[0]) ** 2 + (v / radii[1]) ** 2 < 1
    return inside


def _to_grey(field: Floats, rng: np.random.Generator, *, gamma: bool = True) -> GreyImage:
    low, high = float(field.min()), float(field.max())
    scaled = (field - low) / max(high - low, 1e-6)
    if gamma:
        scaled = scaled ** rng.uniform(0.5, 2.0)
    # Not always over the whole range: a plain image stays plain.
    reach = rng.uniform(0.3, 1.0)
    floor = rng.uniform(0, 1 - reach) if gamma else 0.0
    return np.rint((floor + scaled * reach) * 255).astype(np.uint8)


def _softened(image: Image.Image, rng: np.random.Generator) -> GreyImage:
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 3))))
    grey = np.asarray(image, np.float64) + rng.normal(0, 12 * rng.random(), image.size[::-1])
    return np.clip(grey, 0, 255).astype(np.uint8)


def _blurred(image: GreyImage, rng: np.random.Generator) -> GreyImage:
    return _softened(Image.fromarray(image), rng)


def _rendered(figure: Figure) -> GreyImage:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    with Image.open(stream) as image:
        return np.asarray(image.convert("L"), dtype=np.uint8)
