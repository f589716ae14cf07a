"""Boxes of both data sets on one list of radiographs: one policy, stated here.

1. A run takes the boxes of one set or of both (`BoxSet`). Its vocabulary is what these sets mark,
   in the order of `cxr_contracts.Region`; the boxes of a set that it does not take are not read.
   Each radiograph stands once, under its NIH name.
2. A radiograph that both sets annotate gets the boxes of both. Two boxes of one class that overlap
   with at least `merge_iou` are one, and ChestX-Det's (three radiologists) stays.
3. Neither set marks everything. A class is *known* on a radiograph if the set that marks this class
   annotated it, or if NIH's labels, which have this class, do not name it. On other radiographs the
   class is unknown: its absence there trains nothing (see `cxr_training.detector.partly_known`).
   NIH's labels miss some classes often (`OFTEN_MISSED`). A recipe may doubt their silence
   (`doubt_labels`): to train on, such a class is then unknown too on a film that has a finding and
   that ChestX-Det did not annotate. All recipes are judged by the same rule, without doubt.
4. NIH's radiographs without a finding, and without a box of the sets taken, are added as background
   to train on, of the largest size: nearly all of NIH's boxes are on large images, and sharpness
   alone must not mean disease.
5. Others of NIH's radiographs may be added at random, of any size, with findings or without: what
   their labels name is unknown there by rule 3, and what else NIH labels is absent.
6. Patients are split over both sets together, whichever set a run takes, so that its patients to
   judge on were never another run's to train on. Validation holds annotated radiographs only.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cxr_contracts import Region, finding_of_region
from cxr_training.data import chestxdet, nih
from cxr_training.data.boxed import read_boxed
from cxr_training.data.errors import DataError
from cxr_training.data.nih import RegionBox
from cxr_training.data.pixels import width_of
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split

BoxSet = Literal["nih", "chestx-det"]
REGIONS: tuple[Region, ...] = tuple(Region)
CHESTXDET_REGIONS = frozenset(REGIONS) - {Region.INFILTRATION, Region.PNEUMONIA}
NIH_BOXED_REGIONS = frozenset(
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
)
REGIONS_OF_SET: Mapping[BoxSet, frozenset[Region]] = {
    "nih": NIH_BOXED_REGIONS,
    "chestx-det": CHESTXDET_REGIONS,
}
OFTEN_MISSED = frozenset(
    {Region.CONSOLIDATION, Region.EFFUSION, Region.FIBROSIS, Region.PLEURAL_THICKENING}
)
"""Drawn by ChestX-Det's radiologists on 39, 24, 15 and 11% of the training films with a finding
whose labels do not name them; every other class on less than a tenth (docs/adr/0032)."""
BOTH_SETS: tuple[BoxSet, ...] = ("nih", "chestx-det")


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One radiograph to train or judge on."""

    name: str
    """NIH's file name."""
    path: Path
    patient: str
    split: Split
    source: str
    """`chestx-det`, `nih`, `both`, `background` (rule 4) or `labelled` (rule 5)."""
    side_px: int
    """Of the file; the original had 1024."""
    boxes: tuple[RegionBox, ...]
    """In the 1024 px frame."""
    unknown: frozenset[Region]
    """Classes whose absence from `boxes` says nothing."""


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


def regions_of(sets: Iterable[BoxSet]) -> tuple[Region, ...]:
    """What the sets mark, in the order of `Region` (rule 1)."""
    marked = frozenset[Region]().union(*(REGIONS_OF_SET[name] for name in sets))
    return tuple(region for region in REGIONS if region in marked)


def read_annotations(
    nih_root: Path,
    chestxdet_root: Path,
    *,
    sets: Sequence[BoxSet] = BOTH_SETS,
    merge_iou: float,
    background_images: int,
    labelled_images: int = 0,
    doubt_labels: bool = False,
    seed: int,
) -> Annotations:
    """The boxes of the `sets` as one list of radiographs.

    Raises:
        DataError: what the readers of the two sets refuse; a box on an image that is not there;
            a class of the vocabulary, or a split, without a box.
    """
    boxed = read_boxed(nih_root)
    by_name, splits = boxed.images, boxed.splits
    nih_boxes = boxed.boxes if "nih" in sets else {}
    det_images = _read_chestxdet(chestxdet_root) if "chestx-det" in sets else {}
    files = {
        "nih": nih_root / nih.BOX_LIST,
        "chestx-det": chestxdet.annotation_file(chestxdet_root, "train"),
    }
    for name in sorted(nih_boxes.keys() - by_name.keys()):
        raise DataError(files["nih"], f"{name} has boxes but no image under {nih_root}/images*/")
    for name in sorted(det_images.keys() - by_name.keys()):
        entry = f"entry {det_images[name].name!r}"
        raise DataError(
            files["chestx-det"], f"{entry} is {name}, no image under {nih_root}/images*/"
        )
    regions = regions_of(sets)
    images = [
        _annotated(by_name[name], det_images.get(name), nih_boxes.get(name), splits, merge_iou)
        for name in sorted(nih_boxes.keys() | det_images.keys())
    ]
    images += _background(_spare(by_name, splits, images), background_images, seed)
    images += _labelled(_spare(by_name, splits, images), labelled_images, seed)
    if doubt_labels:
        images = [_doubted(image, by_name[image.name]) for image in images]
    images = [replace(image, unknown=image.unknown & set(regions)) for image in images]
    ordered = tuple(sorted(images, key=lambda image: image.name))
    annotations = Annotations(ordered, splits, regions)
    _check_enough(annotations, {name: files[name] for name in sets})
    return annotations


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


def merge_boxes(
    first: Sequence[RegionBox], second: Sequence[RegionBox], merge_iou: float
) -> tuple[RegionBox, ...]:
    """`first`, and of `second` what is not already there."""
    new = [
        box
        for box in second
        if all(box.region is not other.region or iou_of(box, other) < merge_iou for other in first)
    ]
    return (*first, *new)


def iou_of(one: RegionBox, other: RegionBox) -> float:
    """Intersection over union of two boxes."""
    width = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    height = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(other) - shared)


def unknown_regions(
    image: Radiograph, *, in_chestxdet: bool, nih_boxes: Iterable[RegionBox]
) -> frozenset[Region]:
    """The classes of which nobody said whether they are on this radiograph (rule 3)."""
    known = {box.region for box in nih_boxes}
    if in_chestxdet:
        known |= CHESTXDET_REGIONS
    for region in REGIONS:
        finding = finding_of_region(region)
        if finding is not None and finding not in image.findings:
            known.add(region)
    return frozenset(REGIONS) - known


def as_background(image: Radiograph, split: Split) -> AnnotatedImage:
    """A radiograph that nobody annotated, without boxes; DataError if it is no image."""
    return AnnotatedImage(
        name=image.name,
        path=image.path,
        patient=image.patient,
        split=split,
        source="background",
        side_px=width_of(image.path),
        boxes=(),
        unknown=unknown_regions(image, in_chestxdet=False, nih_boxes=()),
    )


def _area(box: RegionBox) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)


def _annotated(
    image: Radiograph,
    det: chestxdet.ChestXDetImage | None,
    nih_boxes: list[RegionBox] | None,
    splits: dict[str, Split],
    merge_iou: float,
) -> AnnotatedImage:
    marked = "chestx-det" if nih_boxes is None else "both"
    return AnnotatedImage(
        name=image.name,
        path=image.path,
        patient=image.patient,
        split=splits[image.patient],
        source="nih" if det is None else marked,
        side_px=width_of(image.path),
        boxes=merge_boxes(det.boxes if det else (), nih_boxes or (), merge_iou),
        unknown=unknown_regions(image, in_chestxdet=det is not None, nih_boxes=nih_boxes or ()),
    )


def _doubted(image: AnnotatedImage, radiograph: Radiograph) -> AnnotatedImage:
    """The same with what NIH's labels often miss unknown (rule 3)."""
    seen = image.source in ("chestx-det", "both")
    if image.split is not Split.TRAIN or seen or not radiograph.findings:
        return image
    marked = {box.region for box in image.boxes}
    return replace(image, unknown=image.unknown | (OFTEN_MISSED - marked))


def _spare(
    by_name: Mapping[str, Radiograph], splits: dict[str, Split], taken: list[AnnotatedImage]
) -> list[Radiograph]:
    """Those of training patients that are not taken yet, in the order of their names."""
    names = {image.name for image in taken}
    return [
        image
        for name, image in sorted(by_name.items())
        if name not in names and splits[image.patient] is Split.TRAIN
    ]


def _background(spare: list[Radiograph], count: int, seed: int) -> list[AnnotatedImage]:
    clear = [image for image in spare if not image.findings]
    sides = {image.name: width_of(image.path) for image in clear}
    # Shuffled first and sorted by size then: the largest, and among equals a random choice.
    random.Random(seed).shuffle(clear)  # noqa: S311 - no secret
    clear.sort(key=lambda image: -sides[image.name])
    return [as_background(image, Split.TRAIN) for image in clear[:count]]


def _labelled(spare: list[Radiograph], count: int, seed: int) -> list[AnnotatedImage]:
    random.Random(seed).shuffle(spare)  # noqa: S311 - no secret
    return [
        replace(as_background(image, Split.TRAIN), source="labelled") for image in spare[:count]
    ]


def _read_chestxdet(root: Path) -> dict[str, chestxdet.ChestXDetImage]:
    return {image.nih_name: image for image in chestxdet.read_images(root)}


def _check_enough(annotations: Annotations, files: Mapping[BoxSet, Path]) -> None:
    train = {box.region for image in annotations.of(Split.TRAIN) for box in image.boxes}
    marking = {region: files[name] for name in files for region in REGIONS_OF_SET[name]}
    for region in annotations.regions:
        if region not in train:
            raise DataError(marking[region], f"no box of {region} on any training patient")
    if not any(image.boxes for image in annotations.of(Split.VALIDATION)):
        raise DataError(marking[annotations.regions[0]], "no box on any validation patient")
