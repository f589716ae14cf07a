"""Images to train on: prepared on disk in Ultralytics' layout, and varied as they are drawn.

They are written to images/, labels/ and data.yaml after the detector's own resizing, so that
training and serving see the same pixels; whatever was smaller is enlarged here, once. Labels are
`class x y width height`, divided by the side of the input. `unknown.json` names the classes of
rule 3 of the annotation policy. `soft.npz`, where a teacher was asked, holds its places: `images`,
the names that it labelled; `image` [n], which of them a place lies on; `boxes` [n, 4] as in a label
file; `scores` [n, classes].

Resolution and tone vary, and neither may tell the network where an image came from. File size is a
confounder: the large files are the diseased ones. So a large image is brought down to a random side
and up again; a small one is already soft, and stays.
"""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image, ImageFilter

from cxr_contracts import InputSpec, Region
from cxr_detector.placement import Placement
from cxr_detector.preprocessing import Resize, fit
from cxr_training.data.annotations import AnnotatedImage, SoftBox
from cxr_training.data.nih import ANNOTATION_FRAME_PX, RegionBox
from cxr_training.data.pixels import decode_grey, through_jpeg
from cxr_training.detector.config import AugmentationConfig

DATA_FILE = "data.yaml"
UNKNOWN_FILE = "unknown.json"
SOFT_FILE = "soft.npz"
# NIH stretched its radiographs to squares, and the network has seen no other shape.
RESIZE: Resize = "stretch"
GreyImage = npt.NDArray[np.uint8]


def write_dataset(
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    folder: Path,
    spec: InputSpec,
) -> Path:
    """Write the training `images` and their labels anew; returns `data.yaml`.

    Raises:
        DataError: an image that cannot be decoded.
    """
    # An image that an earlier run left there would be trained on.
    shutil.rmtree(folder, ignore_errors=True)
    pixels, labels = folder / "images", folder / "labels"
    pixels.mkdir(parents=True)
    labels.mkdir()
    unknown: dict[str, list[int]] = {}
    taught: list[str] = []
    places: list[tuple[int, list[float], list[float]]] = []
    for image in images:
        canvas, placement = fit(decode_grey(image.path), spec, RESIZE)
        Image.fromarray(canvas).save(pixels / image.name, compress_level=1)
        stem = Path(image.name).stem
        (labels / f"{stem}.txt").write_text(_label_lines(image, placement, spec, regions))
        unknown[stem] = sorted(regions.index(region) for region in image.unknown)
        if image.soft is not None:
            for one in image.soft:
                scores = [one.scores.get(region, 0.0) for region in regions]
                places.append((len(taught), _centred(one, placement, spec), scores))
            taught.append(stem)
    if taught:
        np.savez(
            folder / SOFT_FILE,
            images=np.array(taught),
            image=np.array([number for number, _, _ in places], dtype=np.int64),
            boxes=np.array([box for _, box, _ in places], dtype=np.float32).reshape(-1, 4),
            scores=np.array([x for _, _, x in places], dtype=np.float32).reshape(-1, len(regions)),
        )
    (folder / UNKNOWN_FILE).write_text(json.dumps(unknown, indent=0, sort_keys=True))
    content = {
        "path": str(folder.resolve()),
        "train": "images",
        # Ultralytics asks for one; `cxr_training.detector.trainer` validates by itself.
        "val": "images",
        "names": {index: region.value for index, region in enumerate(regions)},
    }
    path = folder / DATA_FILE
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def pixel_boxes(image: AnnotatedImage, width: int, height: int) -> npt.NDArray[np.float32]:
    """The boxes [n, 4] in pixels of a file of this size, clipped to it."""
    scale = np.array([width, height, width, height]) / ANNOTATION_FRAME_PX
    corners = [[box.x_min, box.y_min, box.x_max, box.y_max] for box in image.boxes]
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4)
    return np.clip(boxes * scale, 0, [width, height, width, height]).astype(np.float32)


def vary_resolution(
    grey: GreyImage, config: AugmentationConfig, generator: np.random.Generator
) -> GreyImage:
    """One training image [H, W] with random softness, blur, JPEG traces and tone; same size."""
    image = Image.fromarray(grey)
    if generator.random() < config.soften:
        image = _soften(image, config.soften_min_px, generator)
    if generator.random() < config.blur:
        image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.5)))
    if generator.random() < config.jpeg:
        kept = through_jpeg(np.asarray(image), int(generator.integers(40, 96)))
        image = Image.fromarray(kept)
    return np.array(_with_tone(image, config, generator))


def _label_lines(
    image: AnnotatedImage, placement: Placement, spec: InputSpec, regions: Sequence[Region]
) -> str:
    """Ultralytics' label file of one radiograph; empty for a background."""
    lines = []
    for box in image.boxes:
        place = _centred(box, placement, spec)
        lines.append(f"{regions.index(box.region)} {' '.join(f'{x:.6f}' for x in place)}\n")
    return "".join(lines)


def _centred(box: RegionBox | SoftBox, placement: Placement, spec: InputSpec) -> list[float]:
    """Centre x and y, width and height in the input, as parts of its sides."""
    size = np.array([placement.scaled_width, placement.scaled_height])
    offset = np.array([placement.left, placement.top])
    corners = np.array([[box.x_min, box.y_min], [box.x_max, box.y_max]])
    inside = corners.clip(0, ANNOTATION_FRAME_PX) / ANNOTATION_FRAME_PX * size + offset
    low, high = inside / [spec.width_px, spec.height_px]
    return [*((low + high) / 2), *(high - low)]


def _soften(image: Image.Image, min_px: int, generator: np.random.Generator) -> Image.Image:
    side = max(image.size)
    if side <= min_px:
        return image
    # Log-uniform: 64 to 128 px is as likely as 160 to 320.
    target = math.exp(generator.uniform(math.log(min_px), math.log(side)))
    width, height = (max(round(length * target / side), 1) for length in image.size)
    small = (width, height)
    return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)


def _with_tone(
    image: Image.Image, config: AugmentationConfig, generator: np.random.Generator
) -> Image.Image:
    """Gamma and brightness by one table."""
    span = math.log(1 / (1 - config.gamma))
    exponent = math.exp(generator.uniform(-span, span))
    gain = generator.uniform(1 - config.brightness, 1 + config.brightness)
    table = np.clip(np.round(255 * gain * (np.arange(256) / 255) ** exponent), 0, 255)
    return image.point(table.astype(int).tolist())
