"""What a classifier learns beside the fourteen labels: other readings, and where boxes lie.

NIH's labels were mined from reports. Radiologists' readings of the same images, the view, the
patient's sex and age cost next to no computation and shape the features; their heads are thrown
away after training.

Maps learn drawn boxes without a word in what the logit is. A class activation map's mean is the
logit of its label, so cells cannot be asked for a yes or no of their own: a small nodule's map
would have to be negative nearly everywhere. What is asked for is the order of the cells: of a
map's softmax over the cells, as much as possible inside the boxes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_contracts import Finding
from cxr_training.classifier.localisation import read_cases
from cxr_training.classifier.samples import LABELS, Samples
from cxr_training.data import chestxdet
from cxr_training.data.nih import ANNOTATION_FRAME_PX
from cxr_training.data.rsna import RSNA_SOURCE, Read, read_reads
from cxr_training.data.splits import CHESTXDET_FOLDER, RSNA_FOLDER, Split
from cxr_training.metrics.bootstrap import FloatArray

# x_min, y_min, x_max, y_max in the 1024 px frame.
Corners = tuple[float, float, float, float]
# Where each pixel of a varied image comes from: (x, y) shows a x + b y + c, d x + e y + f.
Affine = tuple[float, float, float, float, float, float]
UNMOVED: Affine = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
UNKNOWN = -1.0
# RSNA drew boxes of lung opacity, which has no label of its own: where NIH's says one of these, the
# opacity is taken for it.
_OPACITIES = (Finding.PNEUMONIA, Finding.CONSOLIDATION, Finding.INFILTRATION)
_AGE_MEAN, _AGE_SPREAD, _OLDEST = 47.0, 17.0, 110
# Points a side of each cell at which a box is looked for.
_POINTS = 4
# A box of which the variation shows less than this of any cell was moved out of the image.
_LEAST_COVERAGE = 0.03
# Fewer boxed images than this tell nothing of a finding's usual place.
_MIN_BOXED_IMAGES = 10
_FLOOR = 0.02


@dataclass(frozen=True, slots=True)
class Supervision:
    """`targets` float32 [N, A + 1]: A answers of 0, 1 or `UNKNOWN`, then the age in standard
    deviations or NaN. `boxes`: of each boxed training row, of each label's column, its boxes.
    """

    targets: npt.NDArray[np.float32]
    boxes: Mapping[int, Mapping[int, Sequence[Corners]]]
    sources: tuple[str, ...] = ()
    """The data sets beside NIH, in words."""

    def usual_places(self, cells: int) -> Tensor:
        """How often each cell lies in a box, its logarithm, mean zero; float32 [14, h, w].

        Added to the maps of a label, in training and in what is published: a map starts from the
        usual place and says where a radiograph differs from it. Zero for a label with few boxes.
        """
        places = torch.zeros(len(LABELS), cells, cells)
        for label in range(len(LABELS)):
            drawn = [
                coverage(boxes[label], UNMOVED, ANNOTATION_FRAME_PX, cells)
                for boxes in self.boxes.values()
                if label in boxes
            ]
            if len(drawn) >= _MIN_BOXED_IMAGES:
                place = np.log(np.mean(drawn, axis=0) + _FLOOR)
                places[label] = torch.from_numpy(place - place.mean())
        return places

    def covered(self, row: int, moved: Affine, side: int, cells: int) -> npt.NDArray[np.float32]:
        """Where the boxes of a varied image lie, each label's largest value 1, float32 [14, h, w].

        Zero for a label without a box there.
        """
        maps = np.zeros((len(LABELS), cells, cells), dtype=np.float32)
        for label, boxes in self.boxes.get(row, {}).items():
            share = coverage(boxes, moved, side, cells)
            if share.max() > _LEAST_COVERAGE:
                maps[label] = share / share.max()
        return maps


def read_supervision(samples: Samples, data: Path) -> Supervision:
    """What `data` holds beside NIH's labels: `chestx-det/` and `rsna/`, where they are.

    Raises:
        DataError: a data set is not as published, or a test set.
    """
    row_of = {f"{path.stem}.png": row for row, path in enumerate(samples.paths)}
    annotated = (
        chestxdet.read_images(data / CHESTXDET_FOLDER) if (data / CHESTXDET_FOLDER).is_dir() else []
    )
    reads = read_reads(data / RSNA_FOLDER) if (data / RSNA_FOLDER).is_dir() else []
    regions = sorted({box.region for image in annotated for box in image.boxes})
    targets = np.full((len(samples), 5 + len(regions)), UNKNOWN, dtype=np.float32)
    boxes: dict[int, dict[int, list[Corners]]] = {}

    def draw(row: int, label: int, corners: Iterable[Corners]) -> None:
        if samples.splits[row] == Split.TRAIN.value:
            boxes.setdefault(row, {}).setdefault(label, []).extend(corners)

    for read in reads:
        if (row := row_of.get(read.nih_name)) is None:
            continue
        targets[row, :2] = read.read is Read.OPACITY, read.read is Read.NORMAL
        for label in map(LABELS.index, _OPACITIES):
            if read.boxes and samples.targets[row, label] == 1:
                draw(row, label, read.boxes)
    for image in annotated:
        if (row := row_of.get(image.nih_name)) is not None:
            # Without a box of a region the image has not got it: three radiologists looked.
            drawn = {box.region for box in image.boxes}
            targets[row, 2:-3] = [region in drawn for region in regions]
    for column, values, yes, no in ((-3, samples.views, "AP", "PA"), (-2, samples.sexes, "M", "F")):
        targets[values == yes, column], targets[values == no, column] = 1, 0
    known = (samples.ages >= 0) & (samples.ages <= _OLDEST)
    targets[:, -1] = np.where(known, (samples.ages - _AGE_MEAN) / _AGE_SPREAD, np.nan)
    for case in read_cases(data)[Split.TRAIN]:
        corners = [(box.x_min, box.y_min, box.x_max, box.y_max) for box in case.boxes]
        if (row := row_of.get(case.name)) is not None:
            draw(row, LABELS.index(case.finding), corners)
    given = ((chestxdet.CHESTXDET_SOURCE, annotated), (RSNA_SOURCE, reads))
    return Supervision(targets, boxes, tuple(source for source, found in given if found))


def coverage(boxes: Iterable[Corners], moved: Affine, side: int, cells: int) -> FloatArray:
    """The share of each cell of a varied image's map that lies in a box, [cells, cells].

    Args:
        boxes: in the 1024 px frame.
        moved: how the image was varied, in its pixels.
        side: of the image, in pixels.
        cells: of a map, a side.
    """
    n = cells * _POINTS
    centres = (np.arange(n) + 0.5) * side / n
    x, y = np.meshgrid(centres, centres)
    a, b, c, d, e, f = moved
    u = (a * x + b * y + c) * ANNOTATION_FRAME_PX / side
    v = (d * x + e * y + f) * ANNOTATION_FRAME_PX / side
    inside = np.zeros((n, n), dtype=bool)
    for x_min, y_min, x_max, y_max in boxes:
        inside |= (u >= x_min) & (u < x_max) & (v >= y_min) & (v < y_max)
    share: FloatArray = inside.reshape(cells, _POINTS, cells, _POINTS).mean(axis=(1, 3))
    return share
