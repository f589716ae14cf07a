"""The detector that stands under models/, on the public sample radiograph."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file

from cxr_contracts import ModelManifest, Region
from cxr_detector.network import load_network, prepare_ultralytics
from cxr_detector.postprocessing import postprocess
from cxr_detector.preprocessing import place, preprocess
from cxr_serving.model_folder import choose_model
from cxr_training.detector.card import render_card
from cxr_training.publishing import CARD_NAME, read_manifest, sha256_of

FOLDER = choose_model(Path(__file__).parents[2] / "models" / "detector")


@pytest.fixture(scope="module")
def manifest() -> ModelManifest:
    return read_manifest(FOLDER)


@pytest.fixture(scope="module")
def radiograph() -> np.ndarray:
    path = get_testdata_file("RG1_UNCI.dcm", download=False)
    assert path, "pydicom-data is missing: install requirements/dev.txt"
    pixels = pydicom.dcmread(path).pixel_array.astype(np.float64)
    low, high = np.percentile(pixels, [1, 99])
    grey = np.clip((pixels - low) / (high - low), 0, 1)
    return np.round((1 - grey) * 255).astype(np.uint8)  # MONOCHROME1


@pytest.fixture(scope="module")
def predictions(manifest: ModelManifest, radiograph: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of ONNX Runtime and of PyTorch, [3, 19, anchors]."""
    views = [radiograph, radiograph[:, ::-1], radiograph[200:1500, 300:1400]]
    resize = manifest.extra.get("resize", "letterbox")
    images = np.stack(
        [preprocess(np.ascontiguousarray(v), manifest.input, resize)[0] for v in views]
    )
    session = ort.InferenceSession(FOLDER / manifest.onnx.path)
    with torch.no_grad():
        by_torch = load_network(manifest, FOLDER)(torch.from_numpy(images)).numpy()
    return session.run(["predictions"], {"image": images})[0], by_torch


def test_the_files_are_those_of_the_manifest(manifest: ModelManifest) -> None:
    for file in (manifest.weights, manifest.onnx):
        assert sha256_of(FOLDER / file.path) == file.sha256
    assert [label.name for label in manifest.labels] == [region.value for region in Region]


def test_the_card_is_what_the_manifest_says(manifest: ModelManifest) -> None:
    assert (FOLDER / CARD_NAME).read_text() == render_card(manifest)


def test_both_runtimes_answer_alike(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    # A box is given in pixels, up to hundreds: the last digits of a float32 are its own there.
    np.testing.assert_allclose(*predictions, rtol=1e-5, atol=1e-3)


def test_the_boxes_of_a_real_radiograph_are_those_of_ultralytics(
    manifest: ModelManifest, predictions: tuple[np.ndarray, np.ndarray]
) -> None:
    prepare_ultralytics()
    from ultralytics.utils.nms import non_max_suppression

    iou = float(manifest.extra["nms_iou"])
    size = manifest.input.width_px
    for one in predictions[1]:
        limit = float(np.sort(one[4:].ravel())[-200])
        theirs = non_max_suppression(
            torch.from_numpy(one)[None], limit, iou, multi_label=True, max_wh=1024
        )[0].numpy()
        ours = postprocess(
            one,
            place(size, size, manifest.input),
            # Ultralytics shows what lies above its threshold, we also what lies on it.
            np.full(15, np.nextafter(np.float32(limit), np.float32(1)), np.float32),
            nms_iou=iou,
            max_boxes=300,
        )
        assert len(ours.scores) == len(theirs) > 5
        np.testing.assert_allclose(ours.scores, theirs[:, 4], atol=1e-3)
        np.testing.assert_allclose(ours.boxes, theirs[:, :4].clip(0, size), atol=0.5)


def test_its_figures_are_of_validation_patients_with_intervals(manifest: ModelManifest) -> None:
    rows = {(row.name, row.subset): row for row in manifest.metrics}
    overall = rows["map50", "all"]
    assert overall.split == "validation"
    assert overall.n == manifest.data.n_validation
    assert 0 < overall.result.low < overall.result.value < overall.result.high < 1
    assert {"side_px=64", "side_px=128", "side_px=384"} <= {s for n, s in rows if n == "map50"}


def test_its_map50_is_that_of_ultralytics_own_validator(manifest: ModelManifest) -> None:
    figures = {row.name: row.result.value for row in manifest.metrics if row.subset == "all"}
    assert figures["map50"] == pytest.approx(figures["map50_ultralytics"], abs=0.01)
