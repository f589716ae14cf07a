"""The pictures that judge the gate: strangers by kind, and radiographs as they come in practice.

Each picture carries its group, the file or patient that it came from: intervals resample groups.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxr_training.data.radiographs import Radiograph
from cxr_training.gate.medical import MEDICAL_FILES, read_medical
from cxr_training.gate.photographs import (
    JUDGING_FILES,
    Picture,
    random_part,
    read_faces,
    read_photograph,
)
from cxr_training.gate.procedural import PROCEDURAL
from cxr_training.gate.radiographs import read_grey
from cxr_training.gate.unseen import UNSEEN

PARTS_PER_FILE = 15


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture to judge the gate by."""

    source: str
    kind: str
    group: str
    picture: Picture


def real_strangers(rng: np.random.Generator) -> Iterator[Judged]:
    """Real pictures that were never trained on, whole and in random parts."""
    for kind, names in MEDICAL_FILES.items():
        for name in names:
            for picture in read_medical(name):
                yield from _whole_and_parts(rng, "real medical", kind, name, picture)
    for package, path in JUDGING_FILES:
        picture = read_photograph(package, path)
        yield from _whole_and_parts(rng, "real photograph", "photograph", path, picture)
    for i, face in enumerate(read_faces()):
        # 25 px a side as packaged: below what the gate judges, hence enlarged.
        enlarged = np.asarray(Image.fromarray(face).resize((100, 100), Image.Resampling.BICUBIC))
        yield Judged("real photograph", "faces and their surroundings", f"lfw-{i}", enlarged)


def drawn_strangers(rng: np.random.Generator, per_kind: int) -> Iterator[Judged]:
    """Generated pictures: new ones of the trained kinds, and of kinds that were not trained."""
    for source, kinds in (("drawn, kind trained", PROCEDURAL), ("drawn, kind untrained", UNSEEN)):
        for kind, draw in kinds.items():
            for i in range(per_kind):
                side = int(rng.integers(96, 640))
                yield Judged(source, kind, f"{kind}-{i}", draw(rng, side))


def lettered(rng: np.random.Generator, picture: Picture) -> Picture:
    """A side marker in an upper corner, and a cable across."""
    image = Image.fromarray(picture)
    draw, side = ImageDraw.Draw(image), image.width
    font = ImageFont.load_default(max(8.0, side / 9))
    corner = (side * rng.uniform(0, 0.8), image.height * rng.uniform(0, 0.15))
    draw.text(corner, "L" if rng.random() < 0.5 else "AP", fill=255, font=font)
    cable = [(side * x, image.height * float(rng.uniform(0.2, 0.9))) for x in (0.0, 0.35, 0.7, 1.0)]
    draw.line(cable, fill=240, width=max(1, side // 100))
    return np.asarray(image, dtype=np.uint8)


SPOILINGS: dict[str, Callable[[np.random.Generator, Picture], Picture]] = {
    "inverted": lambda _, p: 255 - p,
    "turned by 90 degrees": lambda rng, p: np.rot90(p, 1 if rng.random() < 0.5 else 3),
    "turned by 180 degrees": lambda _, p: np.rot90(p, 2),
    "flipped top to bottom": lambda _, p: p[::-1],
    "turned by 45 degrees": lambda rng, p: _turned(p, 45 if rng.random() < 0.5 else -45),
    "cut out (40% of each side)": lambda rng, p: _cut_out(rng, p, 0.40),
    "cut out (25% of each side)": lambda rng, p: _cut_out(rng, p, 0.25),
    "one half": lambda rng, p: p[:, : p.shape[1] // 2] if rng.random() < 0.5 else _lower(p),
    "inverted and turned by 90 degrees": lambda _, p: np.rot90(255 - p),
}
VARIATIONS: dict[str, Callable[[np.random.Generator, Picture], Picture]] = {
    "as published": lambda _, p: p,
    "mirrored": lambda _, p: p[:, ::-1],
    "turned by up to 10 degrees": lambda rng, p: _turned(p, float(rng.uniform(-10, 10))),
    "8% cut off each side": lambda _, p: _cut(p, 0.08),
    "black border of 10%": lambda _, p: _bordered(p, 0.10, 0),
    "white border of 5%": lambda _, p: _bordered(p, 0.05, 255),
    "letters and a cable": lettered,
    "gamma 0.6": lambda _, p: _gamma(p, 0.6),
    "gamma 1.7": lambda _, p: _gamma(p, 1.7),
    "half the contrast": lambda _, p: (p // 2 + 64).astype(np.uint8),
    "JPEG at quality 15": lambda _, p: _jpeg(p, 15),
    "brought to 64 px": lambda _, p: _resized(p, 64),
    "noise of 8 grey values": lambda rng, p: _noisy(rng, p, 8.0),
    "stretched to 4:5": lambda _, p: _resized(p, p.shape[1], p.shape[0] * 5 // 4),
}


def spoiled(rng: np.random.Generator, images: list[Radiograph]) -> Iterator[Judged]:
    """Every radiograph in every way in which it is one no longer."""
    for image in images:
        picture = read_grey(image.path)
        for kind, spoil in SPOILINGS.items():
            yield Judged("spoiled radiograph", kind, image.patient, spoil(rng, picture))


def varied(rng: np.random.Generator, images: list[Radiograph]) -> Iterator[Judged]:
    """Every radiograph in every way in which it still is one."""
    for image in images:
        picture = read_grey(image.path)
        for kind, vary in VARIATIONS.items():
            yield Judged("radiograph", kind, image.patient, vary(rng, picture))


def _whole_and_parts(
    rng: np.random.Generator, source: str, kind: str, name: str, picture: Picture
) -> Iterator[Judged]:
    yield Judged(source, kind, name, picture)
    for _ in range(PARTS_PER_FILE):
        part = random_part(rng, picture, smallest=0.6)
        yield Judged(source, kind, name, part[:, ::-1] if rng.random() < 0.5 else part)


def _cut_out(rng: np.random.Generator, picture: Picture, seen: float) -> Picture:
    height, width = (int(side * seen) for side in picture.shape)
    top = int(rng.integers(0, picture.shape[0] - height + 1))
    left = int(rng.integers(0, picture.shape[1] - width + 1))
    return _resized(picture[top : top + height, left : left + width], *picture.shape[::-1])


def _lower(picture: Picture) -> Picture:
    return picture[picture.shape[0] // 2 :]


def _cut(picture: Picture, part: float) -> Picture:
    y, x = (int(side * part) for side in picture.shape)
    return picture[y : picture.shape[0] - y, x : picture.shape[1] - x]


def _bordered(picture: Picture, part: float, grey: int) -> Picture:
    bordered = picture.copy()
    y, x = (int(side * part) for side in picture.shape)
    bordered[:y], bordered[-y:], bordered[:, :x], bordered[:, -x:] = grey, grey, grey, grey
    return bordered


def _turned(picture: Picture, degrees: float) -> Picture:
    turned = Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(turned, dtype=np.uint8)


def _resized(picture: Picture, width: int, height: int | None = None) -> Picture:
    size = (width, height if height is not None else width)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def _gamma(picture: Picture, gamma: float) -> Picture:
    curved: NDArray[np.float64] = 255 * (picture / 255.0) ** gamma
    return np.rint(curved).astype(np.uint8)


def _noisy(rng: np.random.Generator, picture: Picture, deviation: float) -> Picture:
    noisy = picture + rng.normal(0, deviation, picture.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _jpeg(picture: Picture, quality: int) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image, dtype=np.uint8)
