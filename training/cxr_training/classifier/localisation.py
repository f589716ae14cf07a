"""Where the classifier looks, against boxes that radiologists drew.

A class activation map of a finding is evaluated on the radiographs on which somebody boxed this
finding, whatever NIH's mined labels say of them; one finding on one radiograph is one case, with
the boxes of all annotators. Maps are enlarged bilinearly to `FRAME_PX` a side, and a pixel belongs
to a box if its centre does.

Figures, each with a 95% interval by bootstrap over patients:

- `pointing_game`: share of cases in which the map's maximum lies in a box of the finding. No
  tolerance; of several equal maxima each counts by its share.
- `cam_iou`: mean intersection over union of the thresholded map with the union of the boxes. The
  threshold is a fraction of the map's own range between minimum and maximum; it is chosen, as
  everything that a baseline knows, on training patients' boxes (`fit`).

A row's subset names a finding with enough cases, `all` (mean over all cases) or `macro` (mean over
those findings), and then `/baseline=random`, `centre` or `prior`: the same figure of what needs no
radiograph. Random points anywhere, and lays a square of the thresholded map's area anywhere
(expected values). Centre points at the middle, and lays there a square of the boxes' mean area.
Prior has for a map how often each pixel lay in a training box of the finding.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_classifier.evidence import has_maps
from cxr_classifier.preprocessing import preprocess
from cxr_contracts import Finding, MetricRow, finding_of_region
from cxr_serving.model_folder import ModelFolder
from cxr_serving.onnx_runtime import OnnxRuntime
from cxr_training.classifier.samples import LABELS
from cxr_training.core.cpu import usable_cores
from cxr_training.data import chestxdet
from cxr_training.data.chestxdet import ChestXDetImage
from cxr_training.data.nih import ANNOTATION_FRAME_PX, BoxedRadiographs, RegionBox, read_boxed
from cxr_training.data.pixels import decode_grey
from cxr_training.data.splits import CHESTXDET_FOLDER, NIH_FOLDER, Split
from cxr_training.data.test_set import HeldOut
from cxr_training.metrics.bootstrap import (
    FloatArray,
    mean_of_defined,
    share_interval,
    with_resamples,
)
from cxr_training.report.tables import metric_row

FloatMap = npt.NDArray[np.float32]
BoolMap = npt.NDArray[np.bool_]
# By NIH's file names: float32 [14, h, w] in the order of `Finding`, each cell its share of a logit.
Maps = dict[str, FloatMap]
# Side of the frame in which maps and boxes meet; a pixel is four of the original's. The smallest
# box that anyone drew is 20 pixels of the original wide.
FRAME_PX = 256
_BATCH = 16
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


@dataclass(frozen=True, slots=True)
class Case:
    """One finding on one radiograph, boxed by one annotator or by several.

    `name` is NIH's file name; the boxes are in the 1024 px frame.
    """

    name: str
    path: Path
    patient: str
    finding: Finding
    boxes: tuple[RegionBox, ...]


def read_cases(data: Path) -> dict[Split, list[Case]]:
    """The cases of training and of validation patients; see `cases_of`.

    Args:
        data: folder that holds `nih/` and, for ChestX-Det's boxes, `chestx-det/`.

    Raises:
        DataError: what the readers of the two sets refuse.
    """
    boxed = read_boxed(data / NIH_FOLDER)
    folder = data / CHESTXDET_FOLDER
    annotated = chestxdet.read_images(folder) if folder.is_dir() else []
    return {split: cases_of(boxed, annotated, split) for split in (Split.TRAIN, Split.VALIDATION)}


def cases_of(
    boxed: BoxedRadiographs, annotated: Iterable[ChestXDetImage], split: Split
) -> list[Case]:
    """The cases of a split's patients, by file name and finding.

    A box of a region that is none of the fourteen findings is passed over, and so is one on a
    radiograph that is not there: a part of the download is evaluated like the whole.
    """
    drawn: dict[tuple[str, Finding], list[RegionBox]] = {}
    by_image = [*boxed.boxes.items(), *((image.nih_name, image.boxes) for image in annotated)]
    for name, of_image in by_image:
        for box in of_image:
            finding = finding_of_region(box.region)
            if finding is not None:
                drawn.setdefault((name, finding), []).append(box)
    cases = []
    for (name, finding), boxes in sorted(drawn.items()):
        image = boxed.images.get(name)
        if image is not None and boxed.splits[image.patient] is split:
            cases.append(Case(name, image.path, image.patient, finding, tuple(boxes)))
    return cases


def predicted_maps(folder: ModelFolder, runtime: OnnxRuntime, cases: Sequence[Case]) -> Maps:
    """The maps of the radiographs of `cases`, as a service makes them."""
    columns = [[label.name for label in folder.manifest.labels].index(x) for x in LABELS]
    paths = {case.name: case.path for case in cases}
    names = sorted(paths)
    maps: Maps = {}
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        images = [preprocess(decode_grey(paths[x]), folder.manifest.input) for x in batch]
        _, cams = runtime.run(np.stack(images))
        maps |= {name: of_image[columns] for name, of_image in zip(batch, cams, strict=True)}
    return maps


def enlarged(cam: npt.NDArray[np.float32]) -> FloatMap:
    """A map [h, w] at `FRAME_PX` a side, scaled to 0..1 between its minimum and its maximum.

    Bilinear, cells taken as areas as the gateway takes them: the maximum is the middle of the
    highest cell, which is where the page's heat map is brightest. (The heat map's own kernel is
    bicubic, smoother to look at; beside two high cells it can overshoot both.) A flat map is 1
    everywhere.
    """
    grid = np.ascontiguousarray(cam, dtype=np.float32)
    resized = Image.fromarray(grid).resize((FRAME_PX, FRAME_PX), Image.Resampling.BILINEAR)
    return scaled(np.asarray(resized, dtype=np.float32))


def scaled(level: FloatMap) -> FloatMap:
    """`level` between 0 at its minimum and 1 at its maximum; 1 everywhere where it is flat."""
    lowest, highest = level.min(), level.max()
    if highest <= lowest:
        return np.ones_like(level)
    result: FloatMap = (level - lowest) / (highest - lowest)
    return result


def box_mask(boxes: Iterable[RegionBox]) -> BoolMap:
    """The union of boxes, [FRAME_PX, FRAME_PX]: the pixels whose centre lies in one of them."""
    centres = (np.arange(FRAME_PX) + 0.5) * (ANNOTATION_FRAME_PX / FRAME_PX)
    mask = np.zeros((FRAME_PX, FRAME_PX), dtype=bool)
    for box in boxes:
        rows = (centres >= box.y_min) & (centres < box.y_max)
        columns = (centres >= box.x_min) & (centres < box.x_max)
        mask |= rows[:, None] & columns
    return mask


def mask_iou(one: BoolMap, other: BoolMap) -> float:
    """Intersection over union of two masks; 0 where both are empty."""
    shared = int(np.count_nonzero(one & other))
    together = int(np.count_nonzero(one)) + int(np.count_nonzero(other)) - shared
    return shared / together if together else 0.0


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
    if not (training and cases and has_maps(folder.manifest)):
        return []
    runtime = OnnxRuntime(folder.onnx(), threads=usable_cores())
    priors = fit(predicted_maps(folder, runtime, training), training)
    return localisation_rows(predicted_maps(folder, runtime, cases), cases, priors, split=split)


def fit(maps: Maps, cases: Sequence[Case]) -> dict[Finding, Prior]:
    """What is known of each finding by the boxes of training patients' cases.

    A finding with few cases gets what is known of all together.
    """
    pooled = _prior(maps, cases)
    priors = dict.fromkeys(Finding, pooled)
    for finding in Finding:
        own = [case for case in cases if case.finding == finding]
        if len(own) >= MIN_TRAINING_CASES:
            priors[finding] = _prior(maps, own)
    return priors


def _prior(maps: Maps, cases: Sequence[Case]) -> Prior:
    total = np.zeros((FRAME_PX, FRAME_PX), dtype=np.float32)
    cam_overlaps = np.zeros(len(FRACTIONS))
    # The masks are drawn twice, not kept: thousands of them would fill the memory.
    for case in cases:
        mask, level = box_mask(case.boxes), enlarged(_cam(maps, case))
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


def _cam(maps: Maps, case: Case) -> FloatMap:
    cam: FloatMap = maps[case.name][LABELS.index(case.finding)]
    return cam


def score_case(cam: npt.NDArray[np.float32], prior: Prior, mask: BoolMap) -> FloatArray:
    """`FIGURES` of each `Pointer`, in their order: float64 [4, 2].

    Args:
        cam: the finding's map on this radiograph, [h, w].
        prior: what training patients taught of the finding.
        mask: its boxes, [FRAME_PX, FRAME_PX].
    """
    level = enlarged(cam)
    region = level >= prior.cam_fraction
    middle = _centred_square(2)
    scores = [
        _scores(level, region, mask),
        _scores(prior.place, prior.place >= prior.fraction, mask),
        _scores(middle, _centred_square(_side_of(prior.box_area)), mask),
        _random_scores(float(region.mean()), mask),
    ]
    return np.array(scores)


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
    priors: Mapping[Finding, Prior],
    *,
    split: Split = Split.VALIDATION,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[MetricRow]:
    """Every figure of `cases`; the module says how the rows are named.

    Args:
        maps: of the cases' radiographs.
        cases: of one split's patients.
        priors: fitted to training patients' cases and the same network's maps.
        split: whose cases they are.
        resamples: of the patients.
        seed: of the resampling.
    """
    values = np.array(
        [score_case(_cam(maps, x), priors[x.finding], box_mask(x.boxes)) for x in cases]
    )
    patients = np.array([case.patient for case in cases])
    findings = np.array([case.finding.value for case in cases])
    n_boxes = np.array([len(case.boxes) for case in cases])
    lines = with_resamples(patients.tolist(), resamples, seed)
    inside = {name: findings == name for name in Finding if (findings == name).sum() >= MIN_CASES}
    draws = {name: _means(values, chosen, lines) for name, chosen in inside.items()}
    everything = np.ones(len(cases), dtype=bool)
    groups = {ALL: (everything, _means(values, everything, lines))}
    if draws:
        together = np.any(list(inside.values()), axis=0)
        groups[MACRO] = (together, mean_of_defined(list(draws.values())))
    groups |= {name.value: (inside[name], draws[name]) for name in draws}
    rows: list[MetricRow] = []
    for name, (chosen, of_group) in groups.items():
        counts = {"n": int(chosen.sum()), "n_positive": int(n_boxes[chosen].sum())}
        n_patients = len(np.unique(patients[chosen]))
        for i, pointer in enumerate(Pointer):
            for j, figure in enumerate(FIGURES):
                share = share_interval(of_group[:, i, j], n_patients)
                subset = subset_name(name, pointer)
                rows += metric_row(figure, subset, share, **counts, split=split.value)
    return rows


def _means(values: FloatArray, inside: BoolMap, lines: FloatArray) -> FloatArray:
    """Weighted means of the cases inside, NaN in a resample that drew none of them."""
    weights = lines[:, inside]
    total = weights.sum(axis=1)
    sums = np.tensordot(weights, values[inside], axes=1)
    draws: FloatArray = sums / np.where(total > 0, total, np.nan)[:, None, None]
    return draws


def subset_name(group: str, pointer: Pointer = Pointer.CAM) -> str:
    """The subset of a row, e.g. `Mass/baseline=centre`."""
    return group if pointer is Pointer.CAM else f"{group}/baseline={pointer.value}"
