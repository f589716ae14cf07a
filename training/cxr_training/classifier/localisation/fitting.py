"""What training patients' boxes teach: where to cut a map, and what the baselines know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_contracts import Finding
from cxr_training.classifier.localisation.boxes import Case
from cxr_training.classifier.localisation.maps import (
    BoolMap,
    FloatMap,
    Maps,
    box_mask,
    enlarged,
    mask_iou,
    scaled,
)

# Where a map may be cut, as fractions of its range.
FRACTIONS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# A finding with fewer training cases is cut where all findings together are.
MIN_TRAINING_CASES = 20


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is known of a finding before its radiograph is seen.

    `cam_fraction` and `prior_fraction`, of the range of the map and of the prior, are those with
    the largest mean IoU. `prior` is how often each pixel lay in a box, scaled to 0..1;
    `box_area` is the boxes' mean share of the radiograph.
    """

    cam_fraction: float
    prior_fraction: float
    prior: FloatMap
    box_area: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A lesson for each finding with enough training cases, and one for the others."""

    by_finding: Mapping[Finding, Lesson]
    pooled: Lesson

    def of(self, finding: Finding) -> Lesson:
        """What is known of `finding`."""
        return self.by_finding.get(finding, self.pooled)


def fit(maps: Maps, cases: Sequence[Case]) -> Fitted:
    """The lessons of training patients' cases, boxes of both annotators together.

    Raises:
        ValueError: no case, or one without a map.
    """
    if not cases:
        raise ValueError("no case to fit to")
    places = maps.places(cases)
    by_finding: dict[Finding, Lesson] = {}
    for finding in Finding:
        inside = [i for i, case in enumerate(cases) if case.finding is finding]
        if len(inside) >= MIN_TRAINING_CASES:
            by_finding[finding] = _lesson(
                maps, [cases[i] for i in inside], [places[i] for i in inside]
            )
    return Fitted(by_finding, _lesson(maps, cases, places))


def _lesson(maps: Maps, cases: Sequence[Case], places: Sequence[tuple[int, int]]) -> Lesson:
    total = np.zeros(box_mask(()).shape, dtype=np.float32)
    cam_overlaps = np.zeros(len(FRACTIONS))
    # The masks are drawn twice, not kept: thousands of them would fill the memory.
    for case, place in zip(cases, places, strict=True):
        mask = box_mask(case.boxes_of(None))
        total += mask
        cam_overlaps += _overlaps(enlarged(maps.cams[place]), mask)
    prior = scaled(total)
    cuts = [prior >= fraction for fraction in FRACTIONS]
    prior_overlaps = np.zeros(len(FRACTIONS))
    for case in cases:
        mask = box_mask(case.boxes_of(None))
        prior_overlaps += [mask_iou(cut, mask) for cut in cuts]
    return Lesson(
        cam_fraction=FRACTIONS[int(cam_overlaps.argmax())],
        prior_fraction=FRACTIONS[int(prior_overlaps.argmax())],
        prior=prior,
        box_area=float(total.mean()) / len(cases),
    )


def _overlaps(level: FloatMap, mask: BoolMap) -> list[float]:
    return [mask_iou(level >= fraction, mask) for fraction in FRACTIONS]
