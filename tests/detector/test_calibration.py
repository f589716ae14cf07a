"""From a network's score to how likely a box is right."""

import numpy as np
import pytest

from cxr_contracts import MANIFEST_NAME, ModelManifest
from cxr_detector.app import detected_boxes
from cxr_detector.calibration import calibrated, logit
from cxr_detector.postprocessing import Detections
from support.model_folders import write_detector_folder


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> ModelManifest:
    folder = write_detector_folder(tmp_path_factory.mktemp("models") / "random")
    return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())


def detections() -> Detections:
    corners = np.array([[1, 2, 30, 40], [5, 5, 60, 70]], dtype=np.float32)
    scores = np.array([0.8, 0.5], dtype=np.float32)
    return Detections(np.array([2, 0]), scores, corners, np.array([True, False]))


def test_slope_one_and_intercept_zero_leave_a_score_as_it_is() -> None:
    scores = np.linspace(0.01, 0.99, 20)
    assert calibrated(scores, 1.0, 0.0) == pytest.approx(scores)


def test_the_ends_of_the_scale_stay_within_it_and_the_order_stays() -> None:
    said = calibrated([0.0, 0.2, 0.9, 1.0], 3.0, -2.0)
    assert (np.diff(said) > 0).all()
    assert 0 <= said[0] < said[-1] <= 1
    assert np.abs(logit([0.0, 1.0])).max() < 10


def test_boxes_of_a_detector_without_calibration_say_no_probability(
    manifest: ModelManifest,
) -> None:
    assert [box.probability for box in detected_boxes(detections(), manifest)] == [None, None]


def test_each_box_is_calibrated_by_its_own_region(manifest: ModelManifest) -> None:
    labels = [
        label.model_copy(update={"slope": 0.5, "intercept": -float(number)})
        for number, label in enumerate(manifest.labels)
    ]
    first, second = detected_boxes(detections(), manifest.model_copy(update={"labels": labels}))
    assert (first.score, second.score) == (0.8, 0.5)
    # sqrt(0.8 / 0.2) = 2, and e to the -2 of it; odds of 1 stay.
    assert first.probability == pytest.approx(1 / (1 + np.exp(2) / 2), abs=1e-6)
    assert second.probability == pytest.approx(0.5)
