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
import yaml
from PIL import Image

from cxr_contracts import InputSpec, Region
from cxr_detector.preprocessing import Placement, Resize, fit
from cxr_training.data.errors import DataError
from cxr_training.data.nih import ANNOTATION_FRAME_PX, RegionBox
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import AnnotatedImage, Annotations

DATA_FILE = "data.yaml"
UNKNOWN_FILE = "unknown.json"
FOLDER_OF_SPLIT = {Split.TRAIN: "train", Split.VALIDATION: "val"}


def read_grey(path: Path) -> "np.typing.NDArray[np.uint8]":
    """The radiograph as uint8 [H, W].

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            # A few of NIH's files are RGBA copies of a grey picture.
            return np.asarray(image.convert("L"))
    except OSError as error:
        raise DataError(path, f"is no readable image: {error}") from error


def write_dataset(
    annotations: Annotations, folder: Path, spec: InputSpec, resize: Resize = "letterbox"
) -> Path:
    """Write the images and labels of train and validation anew; returns `data.yaml`.

    Raises:
        DataError: an image that cannot be decoded.
    """
    # An image that an earlier run left there would be trained on.
    shutil.rmtree(folder, ignore_errors=True)
    regions = annotations.regions
    unknown: dict[str, list[int]] = {}
    for split, part in FOLDER_OF_SPLIT.items():
        images, labels = folder / "images" / part, folder / "labels" / part
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for image in annotations.of(split):
            canvas, placement = fit(read_grey(image.path), spec, resize)
            Image.fromarray(canvas).save(images / image.name, compress_level=1)
            (labels / f"{Path(image.name).stem}.txt").write_text(
                label_lines(image, placement, spec, regions)
            )
            unknown[Path(image.name).stem] = sorted(regions.index(r) for r in image.unknown)
    (folder / UNKNOWN_FILE).write_text(json.dumps(unknown, indent=0, sort_keys=True))
    data = folder / DATA_FILE
    data.write_text(
        yaml.safe_dump(
            {
                "path": str(folder.resolve()),
                "train": "images/train",
                "val": "images/val",
                "names": {index: region.value for index, region in enumerate(regions)},
            },
            sort_keys=False,
        )
    )
    return data


def label_lines(
    image: AnnotatedImage, placement: Placement, spec: InputSpec, regions: Sequence[Region]
) -> str:
    """Ultralytics' label file of one radiograph; empty for a background."""
    return "".join(
        "{} {:.6f} {:.6f} {:.6f} {:.6f}\n".format(
            regions.index(box.region), *_normalised(box, placement, spec)
        )
        for box in image.boxes
    )


def image_boxes(image: AnnotatedImage, width: int, height: int) -> "np.typing.NDArray[np.float32]":
    """The boxes [n, 4] in pixels of a file of this size, clipped to it."""
    scale = np.array([width, height, width, height]) / ANNOTATION_FRAME_PX
    corners = [[box.x_min, box.y_min, box.x_max, box.y_max] for box in image.boxes]
    boxes = np.array(corners, dtype=np.float64).reshape(-1, 4)
    return np.clip(boxes * scale, 0, [width, height, width, height]).astype(np.float32)


def _normalised(
    box: RegionBox, placement: Placement, spec: InputSpec
) -> tuple[float, float, float, float]:
    gain_x = placement.scaled_width / ANNOTATION_FRAME_PX
    gain_y = placement.scaled_height / ANNOTATION_FRAME_PX
    limit = ANNOTATION_FRAME_PX
    x_min, x_max = (min(max(x, 0), limit) * gain_x + placement.left for x in (box.x_min, box.x_max))
    y_min, y_max = (min(max(y, 0), limit) * gain_y + placement.top for y in (box.y_min, box.y_max))
    return (
        (x_min + x_max) / 2 / spec.width_px,
        (y_min + y_max) / 2 / spec.height_px,
        (x_max - x_min) / spec.width_px,
        (y_max - y_min) / spec.height_px,
    )
