"""The images that evaluate the detector: out-of-distribution ones, and radiographs in practice.

Each carries its group, the file or patient that it came from: intervals resample groups. The order
of the draws is part of the published figures.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxr_training.data.radiographs import Radiograph
from cxr_training.ood.data import (
    EVALUATION_PHOTOGRAPHS,
    MEDICAL_DICOM,
    GreyImage,
    random_part,
    read_faces,
    read_grey,
    read_medical,
    read_photograph,
)
from cxr_training.ood.synthetic import TRAINED_KINDS, UNTRAINED_KINDS

RADIOGRAPH = "radiograph"
AS_PUBLISHED = "as published"
_PARTS_PER_FILE = 15
Change = Callable[[np.random.Generator, GreyImage], GreyImage]


@dataclass(frozen=True, slots=True)
class Probe:
    """An image to evaluate the detector on."""

    source: str
    kind: str
    group: str
    image: GreyImage


def real_probes(rng: np.random.Generator) -> Iterator[Probe]:
    """Real images of other things, never trained on, whole and in random parts."""
    for kind, names in MEDICAL_DICOM.items():
        for name in names:
            for image in read_medical(name):
                yield from _whole_and_parts(rng, "real medical", kind, name, image)
    for path in EVALUATION_PHOTOGRAPHS:
        name = path.partition("/")[2]
        image = read_photograph(path)
        yield from _whole_and_parts(rng, "real photograph", "photograph", name, image)
    for i, face in enumerate(read_faces()):
        # 25 px a side as packaged: below what the detector accepts, hence enlarged.
        enlarged = np.asarray(Image.fromarray(face).resize((100, 100), Image.Resampling.BICUBIC))
        yield Probe("real photograph", "faces and their surroundings", f"lfw-{i}", enlarged)


def synthetic_probes(rng: np.random.Generator, per_kind: int) -> Iterator[Probe]:
    """Synthetic images: new ones of the trained kinds, and of kinds that were not trained."""
    for source, kinds in (("trained", TRAINED_KINDS), ("untrained", UNTRAINED_KINDS)):
        for kind, draw in kinds.items():
            for i in range(per_kind):
                image = draw(rng, int(rng.integers(96, 640)))
                yield Probe(f"synthetic, kind {source}", kind, f"{kind}-{i}", image)


def corrupted_probes(rng: np.random.Generator, images: Sequence[Radiograph]) -> Iterator[Probe]:
    """Every radiograph in every way in which it is one no longer."""
    return _changed(rng, images, "corrupted radiograph", CORRUPTIONS)


def radiograph_probes(rng: np.random.Generator, images: Sequence[Radiograph]) -> Iterator[Probe]:
    """Every radiograph in every way in which it still is one."""
    return _changed(rng, images, RADIOGRAPH, VARIATIONS)


def _changed(
    rng: np.random.Generator, images: Sequence[Radiograph], source: str, changes: dict[str, Change]
) -> Iterator[Probe]:
    for radiograph in images:
        image = read_grey(radiograph.path)
        for kind, change in changes.items():
            yield Probe(source, kind, radiograph.patient, change(rng, image))


def _whole_and_parts(
    rng: np.random.Generator, source: str, kind: str, name: str, image: GreyImage
) -> Iterator[Probe]:
    yield Probe(source, kind, name, image)
    for _ in range(_PARTS_PER_FILE):
        part = random_part(rng, image, smallest=0.6)
        yield Probe(source, kind, name, part[:, ::-1] if rng.random() < 0.5 else part)


def _lettered(rng: np.random.Generator, image: GreyImage) -> GreyImage:
    """A side marker in an upper corner, and a cable across."""
    canvas = Image.fromarray(image)
    draw, width, height = ImageDraw.Draw(canvas), canvas.width, canvas.height
    font = ImageFont.load_default(max(8.0, width / 9))
    corner = (width * rng.uniform(0, 0.8), height * rng.uniform(0, 0.15))
    draw.text(corner, "L" if rng.random() < 0.5 else "AP", fill=255, font=font)
    cable = [(width * x, height * float(rng.uniform(0.2, 0.9))) for x in (0.0, 0.35, 0.7, 1.0)]
    draw.line(cable, fill=240, width=max(1, width // 100))
    return np.asarray(canvas, dtype=np.uint8)


def _cut_out(rng: np.random.Generator, image: GreyImage, seen: float) -> GreyImage:
    height, width = (int(side * seen) for side in image.shape)
    top = int(rng.integers(0, image.shape[0] - height + 1))
    left = int(rng.integers(0, image.shape[1] - width + 1))
    return _resized(image[top : top + height, left : left + width], *image.shape[::-1])


def _half(rng: np.random.Generator, image: GreyImage) -> GreyImage:
    height, width = image.shape
    return image[:, : width // 2] if rng.random() < 0.5 else image[height // 2 :]


def _trimmed(image: GreyImage, part: float) -> GreyImage:
    y, x = (int(side * part) for side in image.shape)
    return image[y : image.shape[0] - y, x : image.shape[1] - x]


def _bordered(image: GreyImage, part: float, grey: int) -> GreyImage:
    y, x = (int(side * part) for side in image.shape)
    bordered = np.full_like(image, grey)
    bordered[y:-y, x:-x] = image[y:-y, x:-x]
    return bordered


def _rotated(image: GreyImage, degrees: float) -> GreyImage:
    rotated = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(rotated, dtype=np.uint8)


def _resized(image: GreyImage, width: int, height: int) -> GreyImage:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _gamma(image: GreyImage, gamma: float) -> GreyImage:
    curved: NDArray[np.float64] = 255 * (image / 255.0) ** gamma
    return np.rint(curved).astype(np.uint8)


def _noisy(rng: np.random.Generator, image: GreyImage, deviation: float) -> GreyImage:
    noisy = image + rng.normal(0, deviation, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _jpeg(image: GreyImage, quality: int) -> GreyImage:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as decoded:
        return np.asarray(decoded, dtype=np.uint8)


CORRUPTIONS: dict[str, Change] = {
    "inverted": lambda _, x: 255 - x,
    "turned by 90 degrees": lambda rng, x: np.rot90(x, 1 if rng.random() < 0.5 else 3),
    "turned by 180 degrees": lambda _, x: np.rot90(x, 2),
    "flipped top to bottom": lambda _, x: x[::-1],
    "turned by 45 degrees": lambda rng, x: _rotated(x, 45 if rng.random() < 0.5 else -45),
    "cut out (40% of each side)": lambda rng, x: _cut_out(rng, x, 0.40),
    "cut out (25% of each side)": lambda rng, x: _cut_out(rng, x, 0.25),
    "one half": _half,
    "inverted and turned by 90 degrees": lambda _, x: np.rot90(255 - x),
}
VARIATIONS: dict[str, Change] = {
    AS_PUBLISHED: lambda _, x: x,
    "mirrored": lambda _, x: x[:, ::-1],
    "turned by up to 10 degrees": lambda rng, x: _rotated(x, float(rng.uniform(-10, 10))),
    "8% cut off each side": lambda _, x: _trimmed(x, 0.08),
    "black border of 10%": lambda _, x: _bordered(x, 0.10, 0),
    "white border of 5%": lambda _, x: _bordered(x, 0.05, 255),
    "letters and a cable": _lettered,
    "gamma 0.6": lambda _, x: _gamma(x, 0.6),
    "gamma 1.7": lambda _, x: _gamma(x, 1.7),
    "half the contrast": lambda _, x: (x // 2 + 64).astype(np.uint8),
    "JPEG at quality 15": lambda _, x: _jpeg(x, 15),
    "brought to 64 px": lambda _, x: _resized(x, 64, 64),
    "noise of 8 grey values": lambda rng, x: _noisy(rng, x, 8.0),
    "stretched to 4:5": lambda _, x: _resized(x, x.shape[1], x.shape[0] * 5 // 4),
}
