"""How often ChestX-Det's readers draw what NIH's labels name, and what they do not name.

Counted on films of training patients that have a finding by NIH's labels; rule 3 of
`cxr_training.detector.annotations` and its `OFTEN_MISSED` rest on it.
"""

from dataclasses import dataclass
from pathlib import Path

from cxr_contracts import Region, finding_of_region
from cxr_training.data.boxed import read_boxed
from cxr_training.data.splits import Split
from cxr_training.detector.annotations import OFTEN_MISSED, read_annotations, regions_of
from cxr_training.report.tables import markdown_table

# One set's boxes are not merged, whatever it is.
_MERGE_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Films:
    """Films that are alike in their labels."""

    drawn: int
    """On so many the region is drawn."""
    n: int

    def __str__(self) -> str:
        """E.g. `102 of 167 (61%)`."""
        share = f" ({self.drawn / self.n:.0%})" if self.n else ""
        return f"{self.drawn:,} of {self.n:,}{share}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Labels and boxes of one region that both sets know."""

    region: Region
    named: Films
    unnamed: Films
    """Their labels name another finding."""


def label_agreement(nih_root: Path, chestxdet_root: Path) -> list[Agreement]:
    """One for each region that ChestX-Det marks and NIH labels, the most often missed first.

    Raises:
        DataError: as `read_annotations`.
    """
    radiographs = read_boxed(nih_root).images
    annotations = read_annotations(
        nih_root,
        chestxdet_root,
        sets=("chestx-det",),
        merge_iou=_MERGE_IOU,
        background_images=0,
        seed=0,
    )
    films = [
        (radiographs[image.name].findings, {box.region for box in image.boxes})
        for image in annotations.of(Split.TRAIN)
        if radiographs[image.name].findings
    ]
    counted = []
    for region in regions_of(["chestx-det"]):
        finding = finding_of_region(region)
        # NIH's label Nodule does not say whether the nodules are diffuse.
        if finding is None or finding.value != region.value:
            continue
        drawn: dict[bool, list[bool]] = {True: [], False: []}
        for findings, regions in films:
            drawn[finding in findings].append(region in regions)
        named, unnamed = (Films(sum(drawn[of]), len(drawn[of])) for of in (True, False))
        counted.append(Agreement(region, named, unnamed))
    return sorted(counted, key=lambda one: -one.unnamed.drawn / max(one.unnamed.n, 1))


def silence_table(agreements: list[Agreement]) -> str:
    """In Markdown; `doubted` is what `data.doubt_labels` leaves out."""
    header = ["drawn", "where the labels name it", "where they name another alone", "doubted"]
    rows = [
        [
            one.region.value.replace("_", " "),
            str(one.named),
            str(one.unnamed),
            "yes" if one.region in OFTEN_MISSED else "no",
        ]
        for one in agreements
    ]
    return markdown_table(header, rows)
