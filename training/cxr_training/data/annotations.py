"""Boxes of several data sets on one list of radiographs: one policy, stated here.

1. A run takes the boxes of one set or of several (`SETS`). Its vocabulary is what these sets mark,
   in the order of `cxr_contracts.Region`; the boxes of a set that it does not take are not read.
   Each radiograph stands once, under its NIH name.
2. A radiograph that both sets annotate gets the boxes of both. Two boxes of one class that
   overlap with at least `MERGE_IOU` are one, and that of the set listed last in `SETS` stays.
3. No set marks everything. A class is *known* on a radiograph if a set that was searched for it
   there annotated it, if a box of it is drawn, or if NIH's labels, which have this class, do not
   name it. On other radiographs the class is unknown: its absence there trains nothing (see
   `cxr_training.detector.losses`). NIH's labels miss some classes often (`OFTEN_MISSED`).
   A recipe may mask that label noise (`label_noise_mask`): to train on, such a class is then
   unknown too where the radiograph has a finding and no set was searched for it. All recipes are
   evaluated by the same rule, without the mask.
4. NIH's radiographs without a finding, and without a box of the sets taken, are added as background
   to train on, of the largest size: nearly all boxes are on large images, and sharpness alone must
   not mean disease.
5. Patients are split over all sets together, whichever set a run takes, so that its validation
   patients were never another run's to train on. Validation holds annotated radiographs only.
6. RSNA's radiologists boxed lung opacities suspicious for pneumonia, of any cause. They are boxes
   of Pneumonia, the one kind of region that means just this, and train only: detectors are
   evaluated on the boxes of the other sets, as before.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_contracts import Region, finding_of_region
from cxr_training.data import chestxdet, nih, rsna
from cxr_training.data.errors import DataError
from cxr_training.data.nih import RegionBox, read_boxed
from cxr_training.data.pixels import width_of
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import CHESTXDET_FOLDER, NIH_FOLDER, RSNA_FOLDER, TEST_FOLDER, Split
from cxr_training.metrics.detection import iou_matrix

REGIONS: tuple[Region, ...] = tuple(Region)
BACKGROUND, TEACHER = "background", "teacher"
MERGE_IOU = 0.5
OFTEN_MISSED = frozenset(
    {Region.CONSOLIDATION, Region.EFFUSION, Region.FIBROSIS, Region.PLEURAL_THICKENING}
)
"""Drawn by ChestX-Det's radiologists on 39, 24, 15 and 11% of the training radiographs with a
finding whose labels do not name them; every other class on less than a tenth (docs/adr/0032)."""


@dataclass(frozen=True, slots=True)
class BoxSet:
    """A source of boxes; `_read_boxes` reads them."""

    name: str
    title: str
    credit: str
    """For model cards."""
    regions: frozenset[Region]
    """What it marks."""
    is_exhaustive: bool
    """Whether its annotators searched each of their radiographs for all of `regions`."""
    file: str
    """Where its boxes stand, in the folder of the data."""
    trains_only: bool = False
    """Whether its boxes are for training patients alone (rule 6)."""


NIH = BoxSet(
    name="nih",
    title="NIH",
    credit="NIH ChestX-ray14 (Wang et al., CVPR 2017; NIH Clinical Center), images and "
    "BBox_List_2017",
    regions=frozenset(
        {
            Region.ATELECTASIS,
            Region.CARDIOMEGALY,
            Region.EFFUSION,
            Region.INFILTRATION,
            Region.MASS,
            Region.NODULE,
            Region.PNEUMONIA,
            Region.PNEUMOTHORAX,
        }
    ),
    # One or two findings of a radiograph; the others were left.
    is_exhaustive=False,
    file=f"{NIH_FOLDER}/{nih.BOX_LIST}",
)
CHESTX_DET = BoxSet(
    name="chestx-det",
    title="ChestX-Det",
    credit=chestxdet.CHESTXDET_SOURCE,
    regions=frozenset(REGIONS) - {Region.INFILTRATION, Region.PNEUMONIA},
    is_exhaustive=True,
    file=f"{CHESTXDET_FOLDER}/{chestxdet.annotation_file(Path(), 'train').name}",
)
RSNA = BoxSet(
    name="rsna",
    title="RSNA",
    credit=rsna.RSNA_SOURCE,
    regions=frozenset({Region.PNEUMONIA}),
    is_exhaustive=True,
    file=f"{RSNA_FOLDER}/{rsna.READS}",
    trains_only=True,
)
SETS: tuple[BoxSet, ...] = (NIH, CHESTX_DET, RSNA)
SET_NAMES: tuple[str, ...] = tuple(one.name for one in SETS if not one.trains_only)
"""Of the sets that detectors are evaluated on."""


@dataclass(frozen=True, slots=True)
class SoftBox:
    """A place with a score for each kind of region that it may be; corners in the 1024 px frame."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    scores: Mapping[Region, float]
    """0 to 1; a kind that is not there has none."""


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One radiograph to train or evaluate on."""

    name: str
    """NIH's file name."""
    path: Path
    patient: str
    split: Split
    source: str
    """The sets that annotated it: one, `both` (NIH's and ChestX-Det's), or several joined by `+`;
    or `background` (rule 4), or `teacher` (`cxr_training.detector.distillation`)."""
    side_px: int
    """Of the file; the original had 1024."""
    boxes: tuple[RegionBox, ...]
    """In the 1024 px frame."""
    unknown: frozenset[Region]
    """Classes whose absence from `boxes` says nothing."""
    soft: tuple[SoftBox, ...] | None = None
    """What a teacher says of it, to train on; None where none was asked."""

    @property
    def is_annotated(self) -> bool:
        """Whether anybody looked for boxes on it."""
        return self.source not in (BACKGROUND, TEACHER)


@dataclass(frozen=True, slots=True)
class Annotations:
    """All radiographs of a run, and the split that they follow."""

    images: tuple[AnnotatedImage, ...]
    splits: dict[str, Split]
    regions: tuple[Region, ...]
    """The vocabulary: class i of the network is `regions[i]`."""

    def of(self, split: Split) -> list[AnnotatedImage]:
        """The radiographs of one split, in the order of their names."""
        return [image for image in self.images if image.split is split]


def sets_named(names: Iterable[str]) -> list[BoxSet]:
    """The sets of these names, in the order of `SETS`."""
    wanted = set(names)
    return [one for one in SETS if one.name in wanted]


def regions_of(names: Iterable[str]) -> tuple[Region, ...]:
    """What the sets of these names mark, in the order of `Region` (rule 1)."""
    marked = frozenset[Region]().union(*(one.regions for one in sets_named(names)))
    return tuple(region for region in REGIONS if region in marked)


def read_annotations(
    data: Path,
    *,
    sets: Sequence[str] = SET_NAMES,
    background_images: int = 0,
    label_noise_mask: bool = False,
    seed: int = 0,
) -> Annotations:
    """The boxes of the `sets` as one list of radiographs of training and validation patients.

    Args:
        data: the folder that holds nih/, chestx-det/ and the like.
        sets: names of `SETS`.
        background_images: how many to add (rule 4).
        label_noise_mask: whether to train by rule 3's mask.
        seed: of the choice of backgrounds.

    Raises:
        DataError: what the readers of the sets refuse; a box on an image that is not there;
            a class of the vocabulary, or a split, without a box.
    """
    boxed = read_boxed(data / NIH_FOLDER)
    images = _annotated_images(data, boxed.images, boxed.splits, sets, held_out=False)
    images += _background(boxed.images, boxed.splits, images, background_images, seed)
    if label_noise_mask:
        images = [_masked(image, boxed.images[image.name]) for image in images]
    annotations = _annotations(images, boxed.splits, sets)
    _check_enough(annotations, data, sets)
    return annotations


def read_test_annotations(data: Path, *, sets: Sequence[str] = SET_NAMES) -> Annotations:
    """The annotated radiographs of the test patients, `data/test`: to report on, nothing else.

    Raises:
        DataError: as `read_annotations`, but for a class without a box.
    """
    root = data / TEST_FOLDER
    boxed = read_boxed(root / NIH_FOLDER, held_out=True)
    images = _annotated_images(root, boxed.images, boxed.splits, sets, held_out=True)
    return _annotations(images, boxed.splits, sets)


def limit_images(annotations: Annotations, most: int | None, seed: int) -> Annotations:
    """At most so many radiographs of each split, chosen at random; None leaves all."""
    if most is None:
        return annotations
    kept: list[AnnotatedImage] = []
    for split in Split:
        images = annotations.of(split)
        random.Random(seed).shuffle(images)  # noqa: S311 - no secret
        kept += images[:most]
    ordered = tuple(sorted(kept, key=lambda image: image.name))
    return replace(annotations, images=ordered)


def merge_boxes(first: Sequence[RegionBox], second: Sequence[RegionBox]) -> tuple[RegionBox, ...]:
    """`first`, and of `second` what is not already there."""
    new = []
    for box in second:
        alike = [other for other in first if other.region == box.region]
        if not (iou_matrix(_corners([box]), _corners(alike)) >= MERGE_IOU).any():
            new.append(box)
    return (*first, *new)


def as_background(image: Radiograph, split: Split) -> AnnotatedImage:
    """A radiograph that nobody annotated, without boxes; DataError if it is no image."""
    return _image(image, split, BACKGROUND, (), _unlabelled(image))


def _annotated_images(
    data: Path,
    radiographs: Mapping[str, Radiograph],
    splits: Mapping[str, Split],
    names: Sequence[str],
    *,
    held_out: bool,
) -> list[AnnotatedImage]:
    boxes_of = {
        one: _read_boxes(one, data, held_out)
        for one in sets_named(names)
        if not (one.trains_only and held_out)
    }
    for one, found in boxes_of.items():
        for name in sorted(found.keys() - radiographs.keys()):
            folder = data / NIH_FOLDER
            detail = f"{name} is annotated, and there is no such image under {folder}/images*/"
            raise DataError(data / one.file, detail)
    images = []
    for name in sorted(set[str]().union(*boxes_of.values())):
        image = radiographs[name]
        trains = splits[image.patient] is Split.TRAIN
        marking = [
            one
            for one, found in boxes_of.items()
            if name in found and (trains or not one.trains_only)
        ]
        if not marking:
            continue
        merged: tuple[RegionBox, ...] = ()
        known: set[Region] = set()
        for one in reversed(marking):
            boxes = boxes_of[one][name]
            merged = merge_boxes(merged, boxes)
            known |= one.regions if one.is_exhaustive else {box.region for box in boxes}
        source = "+".join(one.name for one in marking)
        if marking == [NIH, CHESTX_DET]:
            source = "both"
        unknown = _unlabelled(image) - known
        images.append(_image(image, splits[image.patient], source, merged, unknown))
    return images


def _read_boxes(one: BoxSet, data: Path, held_out: bool) -> Mapping[str, Sequence[RegionBox]]:
    """The boxes of a set by NIH's file name."""
    if one is NIH:
        return nih.read_boxes(data / NIH_FOLDER)
    if one is RSNA:
        return {
            read.nih_name: [RegionBox(Region.PNEUMONIA, *corners) for corners in read.boxes]
            for read in rsna.read_reads(data / RSNA_FOLDER)
        }
    images = chestxdet.read_images(data / CHESTXDET_FOLDER, held_out=held_out)
    return {image.nih_name: image.boxes for image in images}


def _image(
    image: Radiograph,
    split: Split,
    source: str,
    boxes: tuple[RegionBox, ...],
    unknown: frozenset[Region],
) -> AnnotatedImage:
    return AnnotatedImage(
        name=image.name,
        path=image.path,
        patient=image.patient,
        split=split,
        source=source,
        side_px=width_of(image.path),
        boxes=boxes,
        unknown=unknown,
    )


def _unlabelled(image: Radiograph) -> frozenset[Region]:
    """The classes that NIH's labels do not rule out: those named, and those without a label."""
    findings = {region: finding_of_region(region) for region in REGIONS}
    return frozenset(
        region
        for region, finding in findings.items()
        if finding is None or finding in image.findings
    )


def _annotations(
    images: Iterable[AnnotatedImage], splits: dict[str, Split], sets: Sequence[str]
) -> Annotations:
    regions = regions_of(sets)
    asked = [replace(image, unknown=image.unknown & set(regions)) for image in images]
    return Annotations(tuple(sorted(asked, key=lambda image: image.name)), splits, regions)


def _masked(image: AnnotatedImage, radiograph: Radiograph) -> AnnotatedImage:
    """The same with what NIH's labels often miss unknown (rule 3)."""
    searched = image.source == "both" or CHESTX_DET.name in image.source.split("+")
    if image.split is not Split.TRAIN or searched or not radiograph.findings:
        return image
    marked = {box.region for box in image.boxes}
    return replace(image, unknown=image.unknown | (OFTEN_MISSED - marked))


def _background(
    radiographs: Mapping[str, Radiograph],
    splits: Mapping[str, Split],
    taken: Iterable[AnnotatedImage],
    count: int,
    seed: int,
) -> list[AnnotatedImage]:
    names = {image.name for image in taken}
    clear = [
        image
        for name, image in sorted(radiographs.items())
        if name not in names and splits[image.patient] is Split.TRAIN and not image.findings
    ]
    sides = {image.name: width_of(image.path) for image in clear} if count else {}
    # Shuffled first and sorted by size then: the largest, and among equals a random choice.
    random.Random(seed).shuffle(clear)  # noqa: S311 - no secret
    clear.sort(key=lambda image: -sides.get(image.name, 0))
    return [as_background(image, Split.TRAIN) for image in clear[:count]]


def _check_enough(annotations: Annotations, data: Path, names: Sequence[str]) -> None:
    train = {box.region for image in annotations.of(Split.TRAIN) for box in image.boxes}
    files = {region: data / one.file for one in sets_named(names) for region in one.regions}
    for region in annotations.regions:
        if region not in train:
            raise DataError(files[region], f"no box of {region} on any training patient")
    if not any(image.boxes for image in annotations.of(Split.VALIDATION)):
        raise DataError(files[annotations.regions[0]], "no box on any validation patient")


def _corners(boxes: Sequence[RegionBox]) -> npt.NDArray[Any]:
    return np.array([[b.x_min, b.y_min, b.x_max, b.y_max] for b in boxes]).reshape(-1, 4)
