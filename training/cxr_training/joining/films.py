"""The validation radiographs on which a rescoring is fitted and judged.

The annotated ones are nearly all diseased, and so are those of NIH's box list, which are large
besides. What a rescoring is worth shows on ordinary films as well, so radiographs without a finding
are added: as many for each size of file, in proportion, or else sharpness would tell who is ill.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from cxr_training.data.boxed import read_boxed
from cxr_training.data.splits import Split
from cxr_training.data.annotations import AnnotatedImage, as_background, read_annotations

# As the published detectors were judged; see training/configs/detector/.
MERGE_IOU = 0.5
SEED = 8


@dataclass(frozen=True, slots=True)
class Films:
    """What is read, and the split it follows."""

    images: list[AnnotatedImage]
    """The annotated ones first, then those without a finding (`source` is `background`)."""
    splits: dict[str, Split]

    @property
    def n_annotated(self) -> int:
        """How many carry an annotation."""
        return sum(image.source != "background" for image in self.images)


def validation_films(nih_root: Path, chestxdet_root: Path) -> Films:
    """The annotated radiographs of validation patients, and others of theirs without a finding.

    Raises:
        DataError: what the readers of the two sets refuse.
    """
    annotations = read_annotations(
        nih_root, chestxdet_root, merge_iou=MERGE_IOU, background_images=0, seed=SEED
    )
    annotated = annotations.of(Split.VALIDATION)
    taken = {image.name for image in annotations.images}
    clear = [
        as_background(image, Split.VALIDATION)
        for image in read_boxed(nih_root).of(Split.VALIDATION)
        if not image.findings and image.name not in taken
    ]
    return Films([*annotated, *matched_by_size(annotated, clear, SEED)], annotations.splits)


def matched_by_size(
    annotated: list[AnnotatedImage], clear: list[AnnotatedImage], seed: int
) -> list[AnnotatedImage]:
    """Of `clear`, the same share of `annotated` for every size of file: at most as many."""
    wanted = Counter(image.side_px for image in annotated)
    found: defaultdict[int, list[AnnotatedImage]] = defaultdict(list)
    for image in sorted(clear, key=lambda image: image.name):
        found[image.side_px].append(image)
    share = min([1.0, *(len(found[side]) / count for side, count in wanted.items())])
    chooser = random.Random(seed)  # noqa: S311 - no secret
    chosen = [
        image
        for side, count in sorted(wanted.items())
        for image in chooser.sample(found[side], int(share * count))
    ]
    return sorted(chosen, key=lambda image: image.name)
