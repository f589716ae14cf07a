"""What a detector's scores mean: the fit, and what is measured of it on other patients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_detector.calibration import calibrated
from cxr_training.core.errors import PublishError
from cxr_training.data.annotations import AnnotatedImage
from cxr_training.data.splits import Split
from cxr_training.detector.calibration import Found, fit, held_out, ordinary, rows_of
from cxr_training.metrics.detection import Matches
from support.synthetic_radiographs import SyntheticData

N_IMAGES, PER_IMAGE = 400, 5
SLOPE, INTERCEPTS = 0.6, np.array([-1.2, -0.4])


def matches(seed: int = 0) -> Matches:
    """Boxes of two regions that are right as often as `SLOPE` and `INTERCEPTS` say."""
    generator = np.random.default_rng(seed)
    n = N_IMAGES * PER_IMAGE
    score = np.sort(generator.uniform(0.02, 0.98, n))[::-1]
    label = generator.integers(0, 2, n)
    right = generator.random(n) < calibrated(score, SLOPE, INTERCEPTS[label])
    image = generator.permutation(np.repeat(np.arange(N_IMAGES), PER_IMAGE))
    truth = np.zeros((N_IMAGES, 2), dtype=np.int64)
    np.add.at(truth, (image[right], label[right]), 1)
    return Matches(image, label, score, np.repeat(right[:, np.newaxis], 10, axis=1), truth)


def images() -> list[AnnotatedImage]:
    return [
        AnnotatedImage(
            name=f"{number:08d}_000.png",
            path=Path("none"),
            patient=f"{number:08d}",
            split=Split.VALIDATION,
            source="nih",
            side_px=128,
            boxes=(),
            unknown=frozenset(),
        )
        for number in range(N_IMAGES)
    ]


def test_the_fit_finds_how_often_boxes_of_each_region_are_right() -> None:
    found = fit(matches())
    assert found.slope == pytest.approx(SLOPE, abs=0.1)
    assert found.intercepts == pytest.approx(INTERCEPTS, abs=0.2)


def test_a_region_of_few_boxes_stays_near_the_others() -> None:
    rare = matches()
    label = np.where(np.arange(len(rare.label)) % 500 == 0, 1, 0)
    found = fit(Matches(rare.image, label, rare.score, rare.hit, rare.truth))
    assert abs(found.intercepts[1] - found.intercepts[0]) < 0.6


def test_where_no_box_is_right_there_is_nothing_to_fit() -> None:
    found = matches()
    none = Matches(found.image, found.label, found.score, found.hit & False, found.truth)
    with pytest.raises(PublishError, match="no box of this detector is right"):
        fit(none)


def test_a_patient_has_no_say_in_their_own_probability() -> None:
    found, patients = matches(), [image.patient for image in images()]
    before, _ = held_out(found, patients)
    flipped = found.hit.copy()
    own = found.image == 7
    flipped[own] = ~flipped[own]
    after, _ = held_out(
        Matches(found.image, found.label, found.score, flipped, found.truth), patients
    )
    assert after[own] == pytest.approx(before[own])
    assert not np.allclose(after[~own], before[~own], atol=1e-12)


def test_calibrated_scores_are_measured_to_mean_what_they_say() -> None:
    rows = {
        (row.name, row.subset): row
        for row in rows_of(Found("0" * 64, images(), images(), matches(), matches()), resamples=50)
    }
    own = rows["box_calibration_error", "detector's score"].result
    ours = rows["box_calibration_error", "calibrated"].result
    assert ours.value < 0.5 * own.value
    loss = [rows["box_log_loss", of].result.value for of in ("calibrated", "detector's score")]
    assert loss[0] < loss[1]
    for subset in ("probability 0.2 to 0.4", "probability 0.4 to 1"):
        right = rows["boxes_right", subset].result
        assert right.low <= rows["mean_probability", subset].result.value <= right.high
    assert {name for name, subset in rows if subset == "with ordinary images"} == {
        "sensitivity",
        "precision",
        "false_boxes",
        "clear_images_marked",
    }


def test_ordinary_radiographs_are_of_every_size_alike(tmp_path: Path) -> None:
    data = SyntheticData(tmp_path)
    box = ("Mass", 100.0, 100.0, 200.0, 200.0)
    data.add(Split.TRAIN, det=[box])
    data.add(Split.TRAIN, nih=[box])
    for side_px, n_annotated, n_clear in ((64, 2, 6), (128, 4, 2)):
        for _ in range(n_annotated):
            data.add(Split.VALIDATION, findings="Mass", side_px=side_px)
        for _ in range(n_clear):
            data.add(Split.VALIDATION, side_px=side_px)
        data.add(Split.TRAIN, side_px=side_px)
    data.write()
    annotated = [
        replace(image, side_px=side_px, name=f"other-{image.name}")
        for image, side_px in zip(images(), [64] * 2 + [128] * 4, strict=False)
    ]
    chosen = ordinary(tmp_path, annotated)
    # Half of each size: there are two of 128 px for four.
    assert sorted(image.side_px for image in chosen) == [64, 128, 128]
    assert {image.split for image in chosen} == {Split.VALIDATION}
    assert not any(image.boxes for image in chosen)
