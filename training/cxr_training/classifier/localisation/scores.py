"""The figures of maps and of what points without seeing the radiograph."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_contracts import Finding, MetricRow
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.localisation.boxes import Case, cases_of, read_cases
from cxr_training.classifier.localisation.maps import (
    FRAME_PX,
    BoolMap,
    FloatMap,
    Maps,
    box_mask,
    enlarged,
    mask_iou,
    predicted_maps,
    scaled,
)
from cxr_training.data.splits import Split
from cxr_training.data.test_set import HeldOut
from cxr_training.metrics.bootstrap import (
    FloatArray,
    interval_of,
    patient_weights,
    share_interval,
)
from cxr_training.metrics.rows import metric_row

POINTING, IOU = "pointing_game", "cam_iou"
FIGURES = (POINTING, IOU)
# Where a map may be cut, as fractions of its range.
FRACTIONS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# A finding with fewer training cases is cut where all findings together are.
MIN_TRAINING_CASES = 20
# A finding with fewer cases has no rows of its own and no part in `macro`.
MIN_CASES = 10
ALL, MACRO = "all", "macro"
RESAMPLES, SEED = 1000, 1


class Pointer(StrEnum):
    """Who points at a finding; the order is that of the tables."""

    CAM = "cam"
    PRIOR = "prior"
    CENTRE = "centre"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of a finding before its radiograph is seen, from training patients' boxes.

    `cam_fraction` and `fraction`, of the range of a map and of `place`, are those with the largest
    mean IoU. `place` is how often each pixel lay in a box, scaled to 0..1; `box_area` is the
    boxes' mean share of the radiograph.
    """

    cam_fraction: float
    fraction: float
    place: FloatMap
    box_area: float


@dataclass(frozen=True, slots=True)
class Priors:
    """One for each finding with enough training cases, and one for the others."""

    by_finding: Mapping[Finding, Prior]
    pooled: Prior

    def of(self, finding: Finding) -> Prior:
        """What is known of `finding`."""
        return self.by_finding.get(finding, self.pooled)


def is_map_figure(row: MetricRow) -> bool:
    """Whether the row says where maps point rather than what scores say."""
    return row.name.startswith(FIGURES)


def evaluate_maps(
    folder: ModelFolder, data: Path, held_out: HeldOut | None = None
) -> list[MetricRow]:
    """Every figure of the model's maps; none where nobody drew a box for the patients.

    Args:
        folder: the model.
        data: holds `nih/` and perhaps `chestx-det/`: the boxes of training patients, from which
            the priors come, and of validation patients.
        held_out: the test patients, to evaluate on in place of validation patients.

    Raises:
        DataError: what the readers of the boxes refuse; a radiograph that cannot be decoded.
        ModelFolderError: ONNX Runtime cannot load the model.
    """
    by_split = read_cases(data)
    split = Split.VALIDATION if held_out is None else Split.TEST
    cases = (
        by_split[Split.VALIDATION]
        if held_out is None
        else cases_of(held_out.boxed, held_out.annotated, Split.TEST)
    )
    training = by_split[Split.TRAIN]
    if not (training and cases):
        return []
    runtime = OnnxRuntime(folder.onnx(), threads=len(os.sched_getaffinity(0)))
    priors = fit(predicted_maps(folder, runtime, training), training)
    return localisation_rows(predicted_maps(folder, runtime, cases), cases, priors, split=split)


def fit(maps: Maps, cases: Sequence[Case]) -> Priors:
    """The priors of training patients' cases.

    Raises:
        ValueError: no case, or one without a map.
    """
    if not cases:
        raise ValueError("no case to fit to")
    places = maps.places(cases)
    by_finding: dict[Finding, Prior] = {}
    for finding in Finding:
        inside = [i for i, case in enumerate(cases) if case.finding is finding]
        if len(inside) >= MIN_TRAINING_CASES:
            by_finding[finding] = _prior(
                maps, [cases[i] for i in inside], [places[i] for i in inside]
            )
    return Priors(by_finding, _prior(maps, cases, places))


def _prior(maps: Maps, cases: Sequence[Case], places: Sequence[tuple[int, int]]) -> Prior:
    total = np.zeros((FRAME_PX, FRAME_PX), dtype=np.float32)
    cam_overlaps = np.zeros(len(FRACTIONS))
    # The masks are drawn twice, not kept: thousands of them would fill the memory.
    for case, index in zip(cases, places, strict=True):
        mask, level = box_mask(case.boxes), enlarged(maps.cams[index])
        total += mask
        cam_overlaps += [mask_iou(level >= fraction, mask) for fraction in FRACTIONS]
    place = scaled(total)
    cuts = [place >= fraction for fraction in FRACTIONS]
    overlaps = np.zeros(len(FRACTIONS))
    for case in cases:
        mask = box_mask(case.boxes)
        overlaps += [mask_iou(cut, mask) for cut in cuts]
    return Prior(
        cam_fraction=FRACTIONS[int(cam_overlaps.argmax())],
        fraction=FRACTIONS[int(overlaps.argmax())],
        place=place,
        box_area=float(total.mean()) / len(cases),
    )


def score_case(cam: npt.NDArray[np.float32], prior: Prior, mask: BoolMap) -> FloatArray:
    """`FIGURES` of each `Pointer`, float64 [4, 2].

    Args:
        cam: the finding's map on this radiograph, [h, w].
        prior: what training patients taught of the finding.
        mask: its boxes, [FRAME_PX, FRAME_PX].
    """
    level = enlarged(cam)
    region = level >= prior.cam_fraction
    middle = _centred_square(2)
    by_pointer: dict[Pointer, Callable[[], list[float]]] = {
        Pointer.CAM: lambda: _scores(level, region, mask),
        Pointer.PRIOR: lambda: _scores(prior.place, prior.place >= prior.fraction, mask),
        Pointer.CENTRE: lambda: _scores(middle, _centred_square(_side_of(prior.box_area)), mask),
        Pointer.RANDOM: lambda: _random_scores(float(region.mean()), mask),
    }
    return np.array([by_pointer[pointer]() for pointer in Pointer])


@cache
def _centred_square(side_px: int) -> BoolMap:
    """A square in the middle of the frame; half a pixel up and to the left if its side is odd."""
    start = (FRAME_PX - side_px) // 2
    square = np.zeros((FRAME_PX, FRAME_PX), dtype=bool)
    square[start : start + side_px, start : start + side_px] = True
    return square


def _scores(level: FloatMap | BoolMap, region: BoolMap, mask: BoolMap) -> list[float]:
    return [float(mask[level == level.max()].mean()), mask_iou(region, mask)]


def _random_scores(area: float, mask: BoolMap) -> list[float]:
    """Expected values over all pixels, and over all places of a square of `area`."""
    side = _side_of(area)
    sums = np.pad(mask.astype(np.int32).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    shared = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    iou = shared / (side * side + np.count_nonzero(mask) - shared)
    return [float(mask.mean()), float(iou.mean())]


def _side_of(area: float) -> int:
    """Side in pixels of a square that covers this share of the frame, at least one."""
    return max(1, round(FRAME_PX * float(np.sqrt(area))))


def localisation_rows(
    maps: Maps,
    cases: Sequence[Case],
    priors: Priors,
    *,
    split: Split = Split.VALIDATION,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[MetricRow]:
    """Every figure of `cases`; the package says how the rows are named.

    Args:
        maps: of the cases' radiographs.
        cases: of one split's patients.
        priors: fitted to training patients' cases and the same network's maps.
        split: whose cases they are.
        resamples: of the patients.
        seed: of the resampling.

    Raises:
        ValueError: a case without a map.
    """
    values = np.array(
        [
            score_case(maps.cams[place], priors.of(case.finding), box_mask(case.boxes))
            for case, place in zip(cases, maps.places(cases), strict=True)
        ]
    )
    patients = np.array([case.patient for case in cases])
    n_boxes = np.array([len(case.boxes) for case in cases])
    weights = patient_weights(patients.tolist(), resamples, seed)
    lines = np.concatenate([np.ones((1, len(cases)), dtype=np.int64), weights])
    rows: list[MetricRow] = []
    gains: list[MetricRow] = []
    for name, (inside, draws) in _groups(values, cases, lines).items():
        counts = {"n": int(inside.sum()), "n_positive": int(n_boxes[inside].sum())}
        n_patients = len(np.unique(patients[inside]))
        for i, pointer in enumerate(Pointer):
            subset = subset_name(name, pointer)
            for j, figure in enumerate(FIGURES):
                share = share_interval(draws[:, i, j], n_patients)
                rows += metric_row(figure, subset, share, **counts, split=split.value)
                if pointer is not Pointer.CAM:
                    # On the same resampled patients.
                    gain = draws[:, 0, j] - draws[:, i, j]
                    result = interval_of(float(gain[0]), gain[1:])
                    figure = f"{figure}_gain"
                    gains += metric_row(figure, subset, result, **counts, split=split.value)
    return rows + gains


def _groups(
    values: FloatArray, cases: Sequence[Case], lines: npt.NDArray[np.int64]
) -> dict[str, tuple[npt.NDArray[np.bool_], FloatArray]]:
    """The cases of each group and its means in the sample and in each resample."""
    findings = np.array([case.finding.value for case in cases])
    everything = np.ones(len(cases), dtype=bool)
    found = {finding.value: findings == finding.value for finding in Finding}
    enough = {
        name: (inside, _means(values, inside, lines))
        for name, inside in found.items()
        if inside.sum() >= MIN_CASES
    }
    groups = {ALL: (everything, _means(values, everything, lines))}
    if enough:
        together = np.any([inside for inside, _ in enough.values()], axis=0)
        groups[MACRO] = (together, _mean_of_defined([draws for _, draws in enough.values()]))
    return groups | enough


def _means(
    values: FloatArray, inside: npt.NDArray[np.bool_], lines: npt.NDArray[np.int64]
) -> FloatArray:
    """Weighted means of the cases inside, NaN in a resample that drew none of them."""
    weights = lines[:, inside].astype(np.float64)
    total = weights.sum(axis=1)
    sums = np.tensordot(weights, values[inside], axes=1)
    draws: FloatArray = sums / np.where(total > 0, total, np.nan)[:, None, None]
    return draws


def _mean_of_defined(draws: Sequence[FloatArray]) -> FloatArray:
    stacked = np.array(draws)
    defined = ~np.isnan(stacked)
    counted = defined.sum(axis=0)
    sums = np.where(defined, stacked, 0.0).sum(axis=0)
    mean: FloatArray = sums / np.where(counted > 0, counted, np.nan)
    return mean


def subset_name(group: str, pointer: Pointer = Pointer.CAM) -> str:
    """The subset of a row, e.g. `Mass/baseline=centre`."""
    return group if pointer is Pointer.CAM else f"{group}/baseline={pointer.value}"
