"""Benchmark subsets: where detectors of different vocabularies can be compared.

A detector's own figures are of the images and the regions that its boxes came with: eight regions
on NIH's images say nothing beside thirteen on ChestX-Det's. So every detector is evaluated on three
subsets as well, the images that NIH boxed, with NIH's boxes alone, those that ChestX-Det annotated,
with its boxes alone, and both together. On each the mean is taken over two sets of regions: the six
that both mark, which every detector of ours knows (`classes=shared`), and all that the subset marks
(`classes=all`), for the detectors that know them all. A detector that knows neither in full is
evaluated on those that it knows (`classes=known`), and compared with none.

Only known classes count here (rule 3 of `annotations`): NIH boxed one or two findings of an image,
and a right box of another must not count as false.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import MetricRow, Region
from cxr_training.data.annotations import (
    CHESTX_DET,
    NIH,
    REGIONS,
    AnnotatedImage,
    read_annotations,
    read_test_annotations,
    regions_of,
)
from cxr_training.data.splits import Split
from cxr_training.detector.detections import (
    ImageDetections,
    detections_on,
    known_only,
    match_all,
    only_of,
)
from cxr_training.detector.evaluation import AT_50, FALSE_BOXES_PER_IMAGE, Sample
from cxr_training.metrics.detection import (
    FloatArray,
    Matches,
    average_precision,
    froc_sensitivity,
    mean_average_precision,
)

SHARED_REGIONS = tuple(r for r in REGIONS if r in NIH.regions & CHESTX_DET.regions)
SHARED, ALL, KNOWN = "shared", "all", "known"
SUBSETS: Mapping[str, tuple[str, ...]] = {
    NIH.name: (NIH.name,),
    CHESTX_DET.name: (CHESTX_DET.name,),
    "both": (NIH.name, CHESTX_DET.name),
}
# Of all recipes; a subset is to be the same whichever detector is evaluated on it.
_MERGE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class BenchmarkSubset:
    """Images of one split, and whose boxes lie on them."""

    name: str
    """A key of `SUBSETS`."""
    regions: tuple[Region, ...]
    """All that are marked there."""
    images: tuple[AnnotatedImage, ...]


@dataclass(frozen=True, slots=True)
class SubsetResult:
    """How a detector does on one benchmark subset over one set of regions."""

    subset: str
    """E.g. `boxes=nih/classes=shared`."""
    map50: FloatArray
    """[1 + resamples]: mAP50 over known classes, of the images and of their resamples."""
    matches: Matches
    sample: Sample
    boxes: int


def read_benchmark(data: Path, split: Split) -> list[BenchmarkSubset]:
    """The three subsets of validation or test patients; DataError as `read_annotations`."""
    subsets = []
    for name, sets in SUBSETS.items():
        read = read_test_annotations if split is Split.TEST else read_annotations
        images = tuple(read(data, sets=sets, merge_iou=_MERGE_IOU).of(split))
        subsets.append(BenchmarkSubset(name, regions_of(sets), images))
    return subsets


def classes_on(subset: BenchmarkSubset, own: Sequence[Region]) -> dict[str, tuple[Region, ...]]:
    """The sets of regions over which a detector that knows `own` is evaluated there, by name."""
    wanted = {SHARED: SHARED_REGIONS, ALL: subset.regions}
    chosen = {name: regions for name, regions in wanted.items() if set(regions) <= set(own)}
    known = tuple(region for region in subset.regions if region in own)
    return chosen or ({KNOWN: known} if known else {})


def evaluate_on(
    subset: BenchmarkSubset,
    detections: Mapping[str, ImageDetections],
    own: Sequence[Region],
    resamples: int,
) -> tuple[list[SubsetResult], list[MetricRow]]:
    """A detector's figures on a benchmark subset.

    Args:
        subset: the images.
        detections: what the detector found, by file name, labelled by `own`.
        own: the detector's regions.
        resamples: of the patients.
    """
    results: list[SubsetResult] = []
    rows: list[MetricRow] = []
    sample = Sample(subset.images, resamples)
    for name, regions in classes_on(subset, own).items():
        known = _known_matches(subset, detections, own, regions)
        title, boxes = f"boxes={subset.name}/classes={name}", int(known.truth.sum())
        map50 = mean_average_precision(known, sample.weights, AT_50)
        results.append(SubsetResult(title, map50, known, sample, boxes))
        rows += sample.row("map50_known", title, map50, boxes=boxes)
        for rate in FALSE_BOXES_PER_IMAGE:
            draws = froc_sensitivity(known, sample.weights, rate)
            rows += sample.row(f"froc_{rate:g}_known", title, draws, boxes=boxes)
    regions = tuple(region for region in subset.regions if region in own)
    known = _known_matches(subset, detections, own, regions)
    for label, region in enumerate(regions):
        draws = average_precision(known, label, sample.weights, AT_50)
        boxes = int(known.truth[:, label].sum())
        rows += sample.row("ap50_known", f"boxes={subset.name}/{region.value}", draws, boxes=boxes)
    return results, rows


def gains(
    results: Sequence[SubsetResult], over: Sequence[SubsetResult], name: str
) -> list[MetricRow]:
    """What a detector gains in mAP50 over the one called `name`, on the same resamples."""
    others = {result.subset: result for result in over}
    rows: list[MetricRow] = []
    for one in results:
        other = others.get(one.subset)
        if other is not None and not one.subset.endswith(KNOWN):
            title, gain = f"{one.subset}/over={name}", one.map50 - other.map50
            rows += one.sample.row("map50_known_gain", title, gain, boxes=one.boxes)
    return rows


def _known_matches(
    subset: BenchmarkSubset,
    detections: Mapping[str, ImageDetections],
    own: Sequence[Region],
    regions: Sequence[Region],
) -> Matches:
    images = only_of(subset.images, regions)
    chosen = detections_on(detections, images, own, regions)
    return known_only(match_all(chosen, images, regions), images, regions)
