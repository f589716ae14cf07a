"""What published detectors propose on the training radiographs with findings that have no box.

The detectors vote: boxes of one region that overlap are one box at their mean position, weighted by
score, and its score is the sum of theirs over the number of detectors that know the region
(weighted boxes fusion: Solovyev, Wang, Gabruseva, Image and Vision Computing 2021).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_contracts import Region, parse_region
from cxr_serving.model_folder import ModelFolder
from cxr_training.data import chestxdet
from cxr_training.data.boxed import read_boxed
from cxr_training.data.errors import DataError
from cxr_training.data.nih import ANNOTATION_FRAME_PX, RegionBox, check_box
from cxr_training.data.rows import read_rows
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import AnnotatedImage, as_background
from cxr_training.detector.evaluation import Found
from cxr_training.detector.scoring import iou_matrix

_COLUMNS = ("image", "region", "score", "x_min", "y_min", "x_max", "y_max")
_FUSION_IOU = 0.5
# Of one region on one radiograph; what lies below is no opinion.
_MOST = 10
_LOWEST = 0.005


@dataclass(frozen=True, slots=True)
class Proposal:
    """A box that the detectors propose."""

    box: RegionBox
    score: float
    """0 to 1; to be compared within its region only."""


Proposals = Mapping[str, Sequence[Proposal]]
"""By file name; a radiograph on which nothing was proposed has an empty list."""


def unannotated(nih_root: Path, chestxdet_root: Path) -> list[AnnotatedImage]:
    """NIH's training radiographs that have a finding and that neither set annotates, by name.

    Raises:
        DataError: as the readers of the two sets.
    """
    boxed = read_boxed(nih_root)
    annotated = {*boxed.boxes, *(one.nih_name for one in chestxdet.read_images(chestxdet_root))}
    return [
        as_background(image, Split.TRAIN)
        for image in sorted(boxed.of(Split.TRAIN), key=lambda image: image.name)
        if image.findings and image.name not in annotated
    ]


def propose(folders: Sequence[ModelFolder], images: Sequence[AnnotatedImage]) -> Proposals:
    """What the detectors propose on each radiograph, highest score first.

    Raises:
        DataError: an image that cannot be decoded.
        ModelFolderError: a file is not what its manifest says.
    """
    # Here, not above: reading a file of proposals needs no runtime.
    from cxr_training.detector.judging.reading import read_published

    found = [read_published(folder, images) for folder in folders]
    regions = [[Region(label.name) for label in folder.manifest.labels] for folder in folders]
    knowing = {region: sum(region in own for own in regions) for region in Region}
    proposals: dict[str, list[Proposal]] = {}
    for image in images:
        each = [_by_region(one[image.name], own) for one, own in zip(found, regions, strict=True)]
        fused: list[Proposal] = []
        for region in Region:
            rows = np.concatenate([one[region] for one in each if region in one] or [_NONE])
            fused += _proposals(region, fuse(rows, knowing[region]))
        proposals[image.name] = sorted(fused, key=lambda proposal: -proposal.score)
    return proposals


def fuse(rows: npt.NDArray[np.float64], n_detectors: int) -> npt.NDArray[np.float64]:
    """Boxes [n, 5] (score, then corners) of one region as fewer fused ones, highest score first."""
    clusters: list[list[npt.NDArray[np.float64]]] = []
    means = np.zeros((0, 4))
    for row in rows[np.argsort(-rows[:, 0], kind="stable")]:
        overlaps = iou_matrix(row[None, 1:], means)[0] if len(means) else np.zeros(0)
        best = int(overlaps.argmax()) if len(overlaps) else 0
        if len(overlaps) and overlaps[best] >= _FUSION_IOU:
            clusters[best].append(row)
            means[best] = _mean_box(clusters[best])
        else:
            clusters.append([row])
            means = np.concatenate([means, row[None, 1:]])
    scores = np.array([sum(row[0] for row in cluster) for cluster in clusters]) / n_detectors
    fused = np.concatenate([np.minimum(scores, 1.0)[:, None], means], axis=1)
    ordered: npt.NDArray[np.float64] = fused[np.argsort(-fused[:, 0], kind="stable")]
    return ordered


def write_proposals(proposals: Proposals, path: Path) -> None:
    """A row for each box; a radiograph without one has a row with its name alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name in sorted(proposals):
            for one in proposals[name]:
                box = one.box
                corners = (box.x_min, box.y_min, box.x_max, box.y_max)
                written = [f"{value:.1f}" for value in corners]
                writer.writerow([name, box.region.value, f"{one.score:.4f}", *written])
            if not proposals[name]:
                writer.writerow([name, "", "", "", "", "", ""])


def read_proposals(path: Path) -> dict[str, list[Proposal]]:
    """What `write_proposals` wrote.

    Raises:
        DataError: no such file, a missing column, an unknown region, a score that is none, a box
            outside its image or of no area.
    """
    proposals: dict[str, list[Proposal]] = {}
    for line, row in read_rows(path, _COLUMNS):
        of_image = proposals.setdefault(row["image"], [])
        if not row["region"]:
            continue
        try:
            corners = [float(row[column]) for column in _COLUMNS[3:]]
            proposal = Proposal(
                RegionBox(parse_region(row["region"]), *corners), float(row["score"])
            )
            if not 0 <= proposal.score <= 1:
                raise ValueError(f"{row['score']} is no score between 0 and 1")
        except ValueError as error:
            raise DataError(path, str(error), line=line) from error
        check_box(proposal.box, path, line=line)
        of_image.append(proposal)
    return proposals


_NONE = np.zeros((0, 5))


def _by_region(one: Found, own: Sequence[Region]) -> dict[Region, npt.NDArray[np.float64]]:
    """Rows (score, then corners in the annotation frame) of each region of the detector."""
    frame = ANNOTATION_FRAME_PX / np.array([one.width, one.height, one.width, one.height])
    detections = one.detections
    rows = np.concatenate(
        [detections.scores[:, None], detections.boxes * frame], axis=1, dtype=np.float64
    )
    return {region: rows[detections.labels == number] for number, region in enumerate(own)}


def _mean_box(cluster: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    rows = np.array(cluster)
    mean: npt.NDArray[np.float64] = np.average(rows[:, 1:], axis=0, weights=rows[:, 0])
    return mean


def _proposals(region: Region, fused: npt.NDArray[np.float64]) -> list[Proposal]:
    return [
        Proposal(RegionBox(region, *row[1:].tolist()), float(row[0]))
        for row in fused[:_MOST]
        if row[0] >= _LOWEST
    ]
