"""Maps against boxes, both drawn here, so that every figure is known by hand."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxr_contracts import Finding, MetricRow, Region
from cxr_gateway.rendering.heatmap import render_heatmap
from cxr_training.classifier.localisation import (
    FIGURES,
    FRAME_PX,
    MIN_TRAINING_CASES,
    Case,
    Maps,
    Pointer,
    Prior,
    box_mask,
    enlarged,
    fit,
    localisation_rows,
    score_case,
)
from cxr_training.classifier.samples import LABELS
from cxr_training.data.nih import RegionBox

MASS = LABELS.index(Finding.MASS)
Corners = tuple[float, float, float, float]
# Cell (1, 2) of a map of 4 x 4, and its neighbour to the right, in the 1024 px frame.
CELL: Corners = (512, 256, 768, 512)
NEXT: Corners = (768, 256, 1024, 512)


def box(corners: Corners) -> RegionBox:
    return RegionBox(Region.MASS, *corners)


def peak(row: int, column: int) -> np.ndarray:
    cam = np.full((4, 4), -3.0, dtype=np.float32)
    cam[row, column] = 2.0
    return cam


def prior(area: float = 0.25, fraction: float = 0.5) -> Prior:
    place = np.zeros((FRAME_PX, FRAME_PX), dtype=np.float32)
    place[64:128, 128:192] = 1.0
    return Prior(cam_fraction=fraction, fraction=0.5, place=place, box_area=area)


def figure(
    name: str, pointer: Pointer, cam: np.ndarray, *corners: Corners, **known: float
) -> float:
    scores = score_case(cam, prior(**known), box_mask(map(box, corners)))
    return float(scores[list(Pointer).index(pointer), FIGURES.index(name)])


def case(
    number: int,
    corners: Corners = CELL,
    *,
    patient: int | None = None,
    finding: Finding = Finding.MASS,
) -> Case:
    name = f"{number:08d}_000.png"
    return Case(name, Path(name), f"{patient or number:08d}", finding, (box(corners),))


def maps_of(cases: list[Case], cams: list[np.ndarray]) -> Maps:
    """The same map for every finding of a radiograph."""
    return {
        case.name: np.repeat(cam.astype(np.float32)[None], len(LABELS), axis=0)
        for case, cam in zip(cases, cams, strict=True)
    }


def rows_of(cases: list[Case], cams: list[np.ndarray], **options: Any) -> list[MetricRow]:
    return localisation_rows(
        maps_of(cases, cams), cases, dict.fromkeys(Finding, prior()), **options
    )


def row(rows: list[MetricRow], name: str, subset: str) -> MetricRow:
    [found] = [row for row in rows if (row.name, row.subset) == (name, subset)]
    return found


def test_a_maximum_in_a_box_is_a_hit_and_one_beside_it_is_none() -> None:
    assert figure("pointing_game", Pointer.CAM, peak(1, 2), CELL) == 1.0
    assert figure("pointing_game", Pointer.CAM, peak(1, 2), NEXT) == 0.0
    assert figure("pointing_game", Pointer.CAM, peak(2, 1), CELL) == 0.0


def test_any_box_of_the_finding_counts() -> None:
    assert figure("pointing_game", Pointer.CAM, peak(1, 2), NEXT, (0, 0, 9, 9), CELL) == 1.0


def test_there_is_no_tolerance_at_the_edge_of_a_box() -> None:
    cam = np.zeros((FRAME_PX, FRAME_PX), dtype=np.float32)
    cam[10, 20] = 1.0  # its centre is (82, 42) in the 1024 px frame
    assert figure("pointing_game", Pointer.CAM, cam, (80, 40, 84, 44)) == 1.0
    assert figure("pointing_game", Pointer.CAM, cam, (0, 0, 82.5, 42.5)) == 1.0
    assert figure("pointing_game", Pointer.CAM, cam, (0, 0, 81.5, 44)) == 0.0
    assert figure("pointing_game", Pointer.CAM, cam, (84, 40, 300, 300)) == 0.0


def test_equal_maxima_count_by_their_share() -> None:
    cam = np.zeros((FRAME_PX, FRAME_PX), dtype=np.float32)
    cam[10, 20] = cam[10, 21] = cam[200, 200] = cam[10, 22] = 1.0
    assert figure("pointing_game", Pointer.CAM, cam, (80, 40, 84, 44)) == 0.25


def test_a_flat_map_points_as_well_as_chance() -> None:
    flat = np.full((4, 4), -2.0, dtype=np.float32)
    quarter: Corners = (0, 0, 512, 512)
    assert figure("pointing_game", Pointer.CAM, flat, quarter) == 0.25
    assert figure("pointing_game", Pointer.RANDOM, flat, quarter) == 0.25


def test_boxes_of_one_finding_form_a_union() -> None:
    mask = box_mask([box((0, 0, 512, 512)), box((256, 0, 768, 512))])
    assert mask.mean() == pytest.approx(3 / 8)
    left, right = (512, 256, 640, 512), (640, 256, 768, 512)
    cam = box_mask([box(CELL)]).astype(np.float32)
    assert figure("cam_iou", Pointer.CAM, cam, left, right) == 1.0
    assert figure("cam_iou", Pointer.CAM, cam, left) == 0.5


def test_the_overlap_is_that_of_the_map_above_its_fraction() -> None:
    cam = 8 * box_mask([box((0, 0, 512, 512))]).astype(np.float32) - 9
    cam[:64, :64] += 2  # a quarter of it stands out
    inner: Corners = (0, 0, 256, 256)
    assert figure("cam_iou", Pointer.CAM, cam, inner, fraction=0.9) == 1.0
    assert figure("cam_iou", Pointer.CAM, cam, inner, fraction=0.5) == 0.25


def test_the_centre_points_at_the_middle_and_lays_a_square_of_the_usual_area_there() -> None:
    cam = peak(0, 0)
    middle: Corners = (256, 256, 768, 768)
    assert figure("pointing_game", Pointer.CENTRE, cam, middle) == 1.0
    assert figure("pointing_game", Pointer.CENTRE, cam, (0, 0, 512, 1024)) == 0.5
    assert figure("cam_iou", Pointer.CENTRE, cam, middle, area=0.25) == 1.0
    assert figure("cam_iou", Pointer.CENTRE, cam, middle, area=1 / 16) == 0.25


def test_the_prior_points_where_the_training_boxes_lay() -> None:
    assert figure("pointing_game", Pointer.PRIOR, peak(0, 0), CELL) == 1.0
    assert figure("cam_iou", Pointer.PRIOR, peak(0, 0), CELL) == 1.0
    assert figure("pointing_game", Pointer.PRIOR, peak(0, 0), NEXT) == 0.0


def test_random_is_the_mean_over_all_places_of_a_square_of_the_maps_area() -> None:
    cam = box_mask([box((0, 0, 256, 256))]).astype(np.float32)
    everything: Corners = (0, 0, 1024, 1024)
    assert figure("cam_iou", Pointer.RANDOM, cam, everything) == pytest.approx(1 / 16)
    target: Corners = (100, 300, 500, 800)
    mask = box_mask([box(target)])
    rng = np.random.default_rng(0)
    found = []
    for top, left in rng.integers(0, FRAME_PX - 64 + 1, (4000, 2)):
        shared = mask[top : top + 64, left : left + 64].sum()
        found.append(shared / (64 * 64 + mask.sum() - shared))
    ious = np.array(found)
    assert figure("cam_iou", Pointer.RANDOM, cam, target) == pytest.approx(ious.mean(), abs=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_the_evaluated_maximum_is_the_brightest_spot_of_the_image_on_the_page(seed: int) -> None:
    cam = np.random.default_rng(seed).normal(0, 2, (8, 8)).astype(np.float32)
    with Image.open(io.BytesIO(render_heatmap(cam.tolist(), FRAME_PX, FRAME_PX))) as image:
        shown = np.asarray(image)
    level = enlarged(cam)
    assert shown[level == level.max()].min() > 250


def test_the_cut_and_the_prior_are_learned_from_training_boxes() -> None:
    rows, columns = np.mgrid[:FRAME_PX, :FRAME_PX]
    hill = np.maximum(np.abs(rows - 95.5), np.abs(columns - 159.5))
    cam = (-hill / hill.max()).astype(np.float32)
    inside = hill <= 0.38 * hill.max()
    at = np.argwhere(inside) * 4.0
    corners = (at[:, 1].min(), at[:, 0].min(), at[:, 1].max() + 4, at[:, 0].max() + 4)
    cases = [case(number, corners) for number in range(1, MIN_TRAINING_CASES + 1)]
    cases.append(case(99, (0, 0, 100, 100)))
    fitted = fit(maps_of(cases, [cam] * len(cases)), cases)
    found = fitted[Finding.MASS]
    assert found.cam_fraction in {0.6, 0.65}
    assert found.place[inside].min() == 1.0
    assert 0 < found.place[0, 0] < 0.1
    expected = (MIN_TRAINING_CASES * inside.mean() + (100 / 1024) ** 2) / len(cases)
    assert found.box_area == pytest.approx(expected, rel=1e-3)


def test_a_finding_with_few_training_boxes_learns_from_all() -> None:
    cases = [case(number) for number in range(1, MIN_TRAINING_CASES + 1)]
    cases.append(case(99, NEXT, finding=Finding.HERNIA))
    fitted = fit(maps_of(cases, [peak(1, 2)] * len(cases)), cases)
    assert fitted[Finding.HERNIA] is fitted[Finding.EFFUSION]
    assert fitted[Finding.HERNIA] is not fitted[Finding.MASS]


def test_the_hit_rate_is_a_share_of_the_cases_with_its_baselines() -> None:
    cases = [case(number) for number in range(1, 13)]
    rows = rows_of(cases, [peak(1, 2)] * 9 + [peak(3, 3)] * 3)
    found = row(rows, "pointing_game", "Mass")
    assert found.result.value == 0.75
    assert (found.n, found.n_positive, found.split) == (12, 12, "validation")
    assert 0.4 < found.result.low < 0.75 < found.result.high <= 1
    # Sixteen cells, of which the box is one; the prior knows it; the centre is its corner.
    assert row(rows, "pointing_game", "Mass/baseline=random").result.value == 0.0625
    assert row(rows, "pointing_game", "Mass/baseline=prior").result.value == 1.0
    assert row(rows, "pointing_game", "Mass/baseline=centre").result.value == 0.25


def test_intervals_come_from_resampling_patients() -> None:
    """Ten hits of one patient and ten misses of another are two trials, not twenty."""
    cases = [case(number, patient=1 + number // 11) for number in range(1, 21)]
    found = row(rows_of(cases, [peak(1, 2)] * 10 + [peak(3, 3)] * 10), "pointing_game", "Mass")
    assert (found.result.low, found.result.value, found.result.high) == (0.0, 0.5, 1.0)


def test_no_hit_at_all_is_not_certainty() -> None:
    cases = [case(number, NEXT) for number in range(1, 11)]
    result = row(rows_of(cases, [peak(3, 0)] * 10), "pointing_game", "Mass").result
    assert (result.value, result.low) == (0.0, 0.0)
    assert result.high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)


def test_a_finding_with_few_cases_counts_among_all_but_not_by_itself() -> None:
    cases = [case(number) for number in range(1, 11)]
    cases += [case(number, finding=Finding.NODULE) for number in range(11, 16)]
    rows = rows_of(cases, [peak(1, 2)] * 10 + [peak(3, 3)] * 5)
    assert row(rows, "pointing_game", "all").result.value == pytest.approx(2 / 3, abs=1e-4)
    assert row(rows, "pointing_game", "macro").result.value == 1.0
    assert row(rows, "pointing_game", "macro").n == 10
    assert not [found for found in rows if found.subset.startswith(("Nodule", "Hernia"))]


def test_macro_is_the_mean_over_the_findings() -> None:
    cases = [case(number) for number in range(1, 31)]
    cases += [case(number, finding=Finding.NODULE) for number in range(31, 41)]
    rows = rows_of(cases, [peak(1, 2)] * 30 + [peak(3, 3)] * 10)
    assert row(rows, "pointing_game", "all").result.value == 0.75
    assert row(rows, "pointing_game", "macro").result.value == 0.5


def test_the_same_seed_gives_the_same_rows() -> None:
    cases = [case(number) for number in range(1, 13)]
    cams = [peak(1, 2)] * 5 + [peak(3, 3)] * 7
    assert rows_of(cases, cams, seed=4) == rows_of(cases, cams, seed=4)
    assert rows_of(cases, cams, seed=4, resamples=50) != rows_of(cases, cams, seed=4)
