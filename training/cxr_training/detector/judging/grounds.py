"""Where detectors of different vocabularies can be compared: the same films, the same regions.

A detector's own figures are of the films and the regions that its boxes came with: eight regions on
NIH's films say nothing beside thirteen on ChestX-Det's. So every model is judged on three grounds
as well, the films that NIH boxed, with NIH's boxes alone, those that ChestX-Det annotated, with its
boxes alone, and both together with the boxes of both. On each the mean is taken over two sets of
regions: the six that both sets mark, which every model of ours knows (`classes=shared`), and all
that the ground marks (`classes=all`), for the models that know them all. A model that knows
neither in full is judged on those that it knows (`classes=known`), and compared with nobody.

On these grounds only known classes count (rule 3 of `annotations`): NIH boxed one or two findings
of a film, and a right box of another must not count as false.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_contracts import MetricRow, Region
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import (
    BOTH_SETS,
    CHESTXDET_REGIONS,
    NIH_BOXED_REGIONS,
    REGIONS,
    AnnotatedImage,
    BoxSet,
    read_annotations,
    regions_of,
)
from cxr_training.detector.evaluation import (
    FALSE_BOXES_PER_IMAGE,
    Found,
    interval_or_none,
    known_only,
    match_all,
    mean_over_classes,
    resampled,
)
from cxr_training.detector.judging.reading import found_on, only_of
from cxr_training.detector.scoring import (
    FloatArray,
    Matches,
    average_precision,
    froc_sensitivity,
)
from cxr_training.metrics.rows import metric_row

SHARED_REGIONS = tuple(r for r in REGIONS if r in NIH_BOXED_REGIONS & CHESTXDET_REGIONS)
SHARED, ALL, KNOWN = "shared", "all", "known"
# Of all recipes; the grounds are to be the same whichever model stands on them.
_MERGE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Ground:
    """Films of validation patients, and whose boxes lie on them."""

    name: str
    """`nih`, `chestx-det` or `both`."""
    regions: tuple[Region, ...]
    """All that are marked there."""
    images: tuple[AnnotatedImage, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model does on one ground over one set of regions."""

    subset: str
    """E.g. `boxes=nih/classes=shared`."""
    map50: FloatArray
    """[1 + resamples]: mAP50 over known classes, of the sample and of its resamples."""
    matches: Matches
    n: int
    boxes: int


def read_grounds(nih_root: Path, chestxdet_root: Path) -> list[Ground]:
    """The three grounds; DataError as `read_annotations`."""
    choices: tuple[tuple[str, tuple[BoxSet, ...]], ...] = (
        ("nih", ("nih",)),
        ("chestx-det", ("chestx-det",)),
        ("both", BOTH_SETS),
    )
    return [
        Ground(
            name,
            regions_of(sets),
            tuple(
                read_annotations(
                    nih_root,
                    chestxdet_root,
                    sets=sets,
                    merge_iou=_MERGE_IOU,
                    background_images=0,
                    seed=0,
                ).of(Split.VALIDATION)
            ),
        )
        for name, sets in choices
    ]


def classes_on(ground: Ground, own: Sequence[Region]) -> dict[str, tuple[Region, ...]]:
    """The sets of regions over which a model that knows `own` is judged there, by name."""
    wanted = {SHARED: SHARED_REGIONS, ALL: ground.regions}
    chosen = {name: regions for name, regions in wanted.items() if set(regions) <= set(own)}
    known = tuple(region for region in ground.regions if region in own)
    return chosen or ({KNOWN: known} if known else {})


def stand(
    ground: Ground, found: Mapping[str, Found], own: Sequence[Region], resamples: int
) -> tuple[list[Standing], list[MetricRow]]:
    """A model's figures on a ground.

    Args:
        ground: the films.
        found: what the model found, by file name, labelled by `own`.
        own: the model's regions.
        resamples: of the patients.
    """
    standings, rows = [], []
    weights = resampled(ground.images, resamples)
    for name, regions in classes_on(ground, own).items():
        images = only_of(ground.images, regions)
        matches = match_all(found_on(found, images, own, regions), images, regions)
        known = known_only(matches, images, regions)
        subset = f"boxes={ground.name}/classes={name}"
        n, boxes = len(images), int(known.truth.sum())
        map50 = mean_over_classes(known, weights)
        standings.append(Standing(subset, map50, known, n, boxes))
        figures = {"map50_known": map50}
        for rate in FALSE_BOXES_PER_IMAGE:
            figures[f"froc_{rate:g}_known"] = froc_sensitivity(known, weights, rate)
        for figure, draws in figures.items():
            interval = interval_or_none(draws)
            rows += metric_row(figure, subset, interval, n=n, n_positive=boxes)
    rows += _class_rows(ground, found, own, weights)
    return standings, rows


def gains(standings: Sequence[Standing], over: Sequence[Standing], name: str) -> list[MetricRow]:
    """What a model gains in mAP50 over the model `name`, on the same resamples of the patients."""
    others = {standing.subset: standing for standing in over}
    rows: list[MetricRow] = []
    for one in standings:
        other = others.get(one.subset)
        if other is not None and not one.subset.endswith(KNOWN):
            rows += metric_row(
                "map50_known_gain",
                f"{one.subset}/over={name}",
                interval_or_none(one.map50 - other.map50),
                n=one.n,
                n_positive=one.boxes,
            )
    return rows


def _class_rows(
    ground: Ground, found: Mapping[str, Found], own: Sequence[Region], weights: FloatArray
) -> list[MetricRow]:
    regions = tuple(region for region in ground.regions if region in own)
    images = only_of(ground.images, regions)
    matches = match_all(found_on(found, images, own, regions), images, regions)
    known = known_only(matches, images, regions)
    rows: list[MetricRow] = []
    for label, region in enumerate(regions):
        draws = average_precision(known, label, weights, (0,))
        rows += metric_row(
            "ap50_known",
            f"boxes={ground.name}/{region.value}",
            interval_or_none(draws),
            n=len(images),
            n_positive=int(np.sum(known.truth[:, label])),
        )
    return rows
