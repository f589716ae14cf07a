"""Class activation maps and boxes, brought into one frame of pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_classifier.preprocessing import preprocess
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.localisation.boxes import Case
from cxr_training.classifier.samples import LABELS
from cxr_training.data.nih import ANNOTATION_FRAME_PX, RegionBox
from cxr_training.data.pixels import decode_grey

FloatMap = npt.NDArray[np.float32]
BoolMap = npt.NDArray[np.bool_]
# Side of the frame in which maps and boxes meet; a pixel is four of the original's. The smallest
# box that anyone drew is 20 pixels of the original wide.
FRAME_PX = 256
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Maps:
    """The maps of some radiographs.

    `names` are NIH's file names. `cams` is float32 [N, 14, h, w] in the order of `Finding`, each
    cell its share of the logit.
    """

    names: tuple[str, ...]
    cams: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays do not belong to the names."""
        if self.cams.shape[:2] != (len(self.names), len(LABELS)) or self.cams.ndim != 4:
            raise ValueError(f"maps {self.cams.shape} of {len(self.names)} radiographs")

    def places(self, cases: Iterable[Case]) -> list[tuple[int, int]]:
        """Index and label of each case; ValueError for one whose radiograph is not among them."""
        indices = {name: index for index, name in enumerate(self.names)}
        columns = {label: column for column, label in enumerate(LABELS)}
        try:
            return [(indices[case.name], columns[case.finding]) for case in cases]
        except KeyError as error:
            raise ValueError(f"no map of {error}") from error


def predicted_maps(folder: ModelFolder, runtime: OnnxRuntime, cases: Sequence[Case]) -> Maps:
    """The maps of the radiographs of `cases`, each once, as a service makes them."""
    columns = [[label.name for label in folder.manifest.labels].index(x) for x in LABELS]
    paths = {case.name: case.path for case in cases}
    names = tuple(sorted(paths))
    cams: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(names), _BATCH):
        images = [
            preprocess(decode_grey(paths[name]), folder.manifest.input)
            for name in names[start : start + _BATCH]
        ]
        _, maps = runtime.run(np.stack(images))
        cams += [of_image[columns] for of_image in maps]
    return Maps(names, np.array(cams, dtype=np.float32))


def enlarged(cam: npt.NDArray[np.float32]) -> FloatMap:
    """A map [h, w] at `FRAME_PX` a side, scaled to 0..1 between its minimum and its maximum.

    Bilinear, cells taken as areas as the gateway takes them: the maximum is the middle of the
    highest cell, which is where the page's picture is brightest. (The heat map's own kernel is
    bicubic, smoother to look at; beside two high cells it can overshoot both.) A flat map is 1
    everywhere.
    """
    grid = np.ascontiguousarray(cam, dtype=np.float32)
    resized = Image.fromarray(grid).resize((FRAME_PX, FRAME_PX), Image.Resampling.BILINEAR)
    return scaled(np.asarray(resized, dtype=np.float32))


def scaled(level: FloatMap) -> FloatMap:
    """`level` between 0 at its minimum and 1 at its maximum; 1 everywhere where it is flat."""
    lowest, highest = level.min(), level.max()
    if highest <= lowest:
        return np.ones_like(level)
    result: FloatMap = (level - lowest) / (highest - lowest)
    return result


def box_mask(boxes: Iterable[RegionBox]) -> BoolMap:
    """The union of boxes, [FRAME_PX, FRAME_PX]: the pixels whose centre lies in one of them."""
    centres = (np.arange(FRAME_PX) + 0.5) * (ANNOTATION_FRAME_PX / FRAME_PX)
    mask = np.zeros((FRAME_PX, FRAME_PX), dtype=bool)
    for box in boxes:
        rows = (centres >= box.y_min) & (centres < box.y_max)
        columns = (centres >= box.x_min) & (centres < box.x_max)
        mask |= rows[:, None] & columns
    return mask


def mask_iou(one: BoolMap, other: BoolMap) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    shared = int(np.count_nonzero(one & other))
    together = int(np.count_nonzero(one)) + int(np.count_nonzero(other)) - shared
    return shared / together if together else 0.0
