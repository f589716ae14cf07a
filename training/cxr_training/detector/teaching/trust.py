"""How far proposals are trusted: some make boxes, some say that there is none, the rest nothing.

How often a region stands on a film is known from the films that were annotated: apart for those
whose NIH labels name it and those whose labels do not, as these labels tell much of one region and
next to nothing of another. Among the films to learn from that are alike in this, the detectors'
highest score of the region is their order, and with a trusted share of 1/2:

1. Half as many films as should have the region, those of the highest scores, have it. As many boxes
   as annotators draw on so many films are taken, the highest scores first and one a film at least.
2. Twice as many as should have it may have it. Those below do not have it.
3. Between the two the region is unknown (`cxr_training.detector.partly_known`).

This holds for what ChestX-Det marks, whose readers looked for everything on each of their films.
NIH drew boxes where it knew of something to draw, so of Infiltration and Pneumonia its labels alone
decide (rule 3 of `cxr_training.detector.annotations`). No validation patient has a part in this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cxr_contracts import Region, finding_of_region
from cxr_training.data.nih import RegionBox
from cxr_training.data.radiographs import Radiograph
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import (
    CHESTXDET_REGIONS,
    AnnotatedImage,
    Annotations,
    as_background,
)
from cxr_training.detector.teaching.proposals import Proposals

SOURCE = "proposed"


@dataclass(frozen=True, slots=True)
class Usual:
    """What annotators find of a region on films that are alike."""

    share: float
    """Of the films, on which they draw it."""
    boxes: float
    """How many they draw on such a film."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is believed of one region."""

    boxes: Mapping[str, Sequence[RegionBox]]
    """By the names of the films that have it."""
    absent: frozenset[str]
    """The names of those that do not."""


def with_proposals(
    annotations: Annotations,
    proposals: Proposals,
    radiographs: Mapping[str, Radiograph],
    trusted_share: float,
) -> Annotations:
    """The annotations with the radiographs of `proposals` beside them, to train on.

    Args:
        annotations: of the run.
        proposals: on radiographs of training patients that are not among them; others are left out.
        radiographs: NIH's, by file name.
        trusted_share: above 0, up to 1.
    """
    taken = {image.name for image in annotations.images}
    films = [
        radiographs[name]
        for name in sorted(proposals.keys() & radiographs.keys() - taken)
        if annotations.splits[radiographs[name].patient] is Split.TRAIN
    ]
    looked_at = [
        (image, radiographs[image.name])
        for image in annotations.of(Split.TRAIN)
        if radiographs[image.name].findings and image.source in ("chestx-det", "both")
    ]
    verdicts = {
        region: _verdict(region, films, looked_at, proposals, trusted_share)
        for region in annotations.regions
        if region in CHESTXDET_REGIONS
    }
    added = [_believed(film, verdicts, frozenset(annotations.regions)) for film in films]
    images = sorted((*annotations.images, *added), key=lambda image: image.name)
    return replace(annotations, images=tuple(images))


def usual(region: Region, images: Sequence[AnnotatedImage]) -> Usual:
    """What annotators find on `images`, which are of one kind."""
    counts = [sum(box.region is region for box in image.boxes) for image in images]
    having = [count for count in counts if count]
    if not having:
        return Usual(0.0, 0.0)
    return Usual(len(having) / len(counts), sum(having) / len(having))


def trust(
    region: Region, names: Sequence[str], proposals: Proposals, of: Usual, trusted_share: float
) -> Verdict:
    """What is believed of `region` on films that are alike."""
    scored = {
        name: [(one.score, one.box) for one in proposals[name] if one.box.region is region]
        for name in names
    }
    top = {name: max((score for score, _ in scored[name]), default=0.0) for name in names}
    ordered = sorted(names, key=lambda name: (-top[name], name))
    expected = of.share * len(names)
    having = [name for name in ordered[: int(expected * trusted_share)] if top[name] > 0]
    absent = frozenset(ordered[min(round(expected / trusted_share), len(ordered)) :])
    candidates = sorted(
        (-score, name, number)
        for name in having
        for number, (score, _) in enumerate(scored[name])
        if score < top[name]
    )
    more = candidates[: max(round(of.boxes * len(having)) - len(having), 0)]
    boxes = {name: [box for score, box in scored[name] if score == top[name]] for name in having}
    for _, name, number in more:
        boxes[name].append(scored[name][number][1])
    return Verdict(boxes, absent)


def _verdict(
    region: Region,
    films: Sequence[Radiograph],
    looked_at: Sequence[tuple[AnnotatedImage, Radiograph]],
    proposals: Proposals,
    trusted_share: float,
) -> Verdict:
    boxes: dict[str, Sequence[RegionBox]] = {}
    absent: frozenset[str] = frozenset()
    for named in (True, False):
        like = [image for image, film in looked_at if _names(film, region) is named]
        if not like:
            continue
        names = [film.name for film in films if _names(film, region) is named]
        verdict = trust(region, names, proposals, usual(region, like), trusted_share)
        boxes |= verdict.boxes
        absent |= verdict.absent
    return Verdict(boxes, absent)


def _names(radiograph: Radiograph, region: Region) -> bool:
    return finding_of_region(region) in radiograph.findings


def _believed(
    film: Radiograph, verdicts: Mapping[Region, Verdict], vocabulary: frozenset[Region]
) -> AnnotatedImage:
    boxes = tuple(box for verdict in verdicts.values() for box in verdict.boxes.get(film.name, ()))
    blank = as_background(film, Split.TRAIN)
    unsure = frozenset(
        region
        for region, verdict in verdicts.items()
        if film.name not in verdict.absent and film.name not in verdict.boxes
    )
    # Of what ChestX-Det does not mark, and where it is no part of the run, rule 3 decides.
    unknown = (blank.unknown - verdicts.keys()) | unsure
    return replace(blank, source=SOURCE, boxes=boxes, unknown=unknown & vocabulary)
