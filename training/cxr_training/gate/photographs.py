"""Real pictures that installed packages carry: photographs to train on, and strangers to judge by.

Nothing is downloaded and nothing is copied into the project. Every file stands in one list only.
"""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_gateway.gate import canonical
from cxr_training.data.errors import DataError

Picture = NDArray[np.uint8]

TRAINING_FILES = (
    ("skimage", "data/brick.png"),
    ("skimage", "data/camera.png"),
    ("skimage", "data/cell.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/coins.png"),
    ("skimage", "data/grass.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/ihc.png"),
    ("skimage", "data/moon.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/page.png"),
    ("skimage", "data/logo.png"),
    ("sklearn", "datasets/images/china.jpg"),
    ("ultralytics", "assets/bus.jpg"),
)
JUDGING_FILES = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/clock_motion.png"),
    ("skimage", "data/color.png"),
    ("skimage", "data/gravel.png"),
    ("skimage", "data/horse.png"),
    ("skimage", "data/microaneurysms.png"),
    ("skimage", "data/phantom.png"),
    ("skimage", "data/retina.jpg"),
    ("skimage", "data/rocket.jpg"),
    ("skimage", "data/text.png"),
    ("sklearn", "datasets/images/flower.jpg"),
    ("ultralytics", "assets/zidane.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("matplotlib", "mpl-data/sample_data/Minduka_Present_Blue_Pack.png"),
)


def packaged_file(package: str, path: str) -> Path:
    """Where an installed package keeps a file.

    Raises:
        DataError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(Path(package), "is not installed (requirements/dev.in names it)")
    file = Path(next(iter(spec.submodule_search_locations))) / path
    if not file.exists():
        raise DataError(file, f"is not in the installed {package}")
    return file


def read_photograph(package: str, path: str) -> Picture:
    """A packaged picture as uint8 [H, W]; transparency on white."""
    with Image.open(packaged_file(package, path)) as image:
        rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(ground, rgba).convert("L"), dtype=np.uint8)


def read_faces() -> Picture:
    """scikit-image's part of Labeled Faces in the Wild: uint8 [200, 25, 25], half of them faces."""
    faces = np.load(packaged_file("skimage", "data/lfw_subset.npy"))
    grey: Picture = np.rint(faces * 255).astype(np.uint8)
    return grey


def photograph_crops(rng: np.random.Generator, n: int, side: int) -> Picture:
    """Random parts of the training photographs, uint8 [n, side, side]."""
    photographs = [read_photograph(*file) for file in TRAINING_FILES]
    crops = np.empty((n, side, side), np.uint8)
    for i in range(n):
        picture = random_part(rng, photographs[i % len(photographs)], smallest=0.15)
        crops[i] = np.rint(canonical(picture, side)[0] * 255)
    return crops


def random_part(rng: np.random.Generator, picture: Picture, *, smallest: float) -> Picture:
    """A random rectangle of a picture, each side between `smallest` and the whole."""
    height, width = picture.shape
    part_h = max(8, int(height * rng.uniform(smallest, 1.0)))
    part_w = min(width, max(8, int(part_h * rng.uniform(0.7, 1.4))))
    top = int(rng.integers(0, height - part_h + 1))
    left = int(rng.integers(0, width - part_w + 1))
    return picture[top : top + part_h, left : left + part_w]
