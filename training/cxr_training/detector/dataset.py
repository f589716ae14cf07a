"""The prepared data set on disk, in Ultralytics' layout: images/, labels/, data.yaml.

Images are written after the detector's own resizing, so that training and serving see the same
pixels; whatever was smaller is enlarged here, once. Labels are `class x y width height`, divided
by the side of the input. `unknown.json` names the classes of rule 3 of the annotation policy.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml
from PIL import Image

from cxr_contracts import InputSpec, Region
from cxr_detector.preprocessing import Placement, Resize, fit
from cxr_training.data.annotations import AnnotatedImage
from cxr_training.data.nih import ANNOTATION_FRAME_PX
from cxr_training.data.pixels import decode_grey

DATA_FILE = "data.yaml"
UNKNOWN_FILE = "unknown.json"


def write_dataset(
    images: Sequence[AnnotatedImage],
    regions: Sequence[Region],
    folder: Path,
    spec: InputSpec,
    resize: Resize,
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
    for image in images:
        canvas, placement = fit(decode_grey(image.path), spec, resize)
        Image.fromarray(canvas).save(pixels / image.name, compress_level=1)
        stem = Path(image.name).stem
        (labels / f"{stem}.txt").write_text(_label_lines(image, placement, spec, regions))
        unknown[stem] = sorted(regions.index(region) for region in image.unknown)
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


def _label_lines(
    image: AnnotatedImage, placement: Placement, spec: InputSpec, regions: Sequence[Region]
) -> str:
    """Ultralytics' label file of one radiograph; empty for a background."""
    size = np.array([placement.scaled_width, placement.scaled_height])
    offset = np.array([placement.left, placement.top])
    lines = []
    for box in image.boxes:
        corners = np.array([[box.x_min, box.y_min], [box.x_max, box.y_max]])
        inside = corners.clip(0, ANNOTATION_FRAME_PX) / ANNOTATION_FRAME_PX * size + offset
        low, high = inside / [spec.width_px, spec.height_px]
        place = [*((low + high) / 2), *(high - low)]
        lines.append(f"{regions.index(box.region)} {' '.join(f'{x:.6f}' for x in place)}\n")
    return "".join(lines)
