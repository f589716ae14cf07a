"""Every detector that stands under models/, on a film of the published generator."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from cxr_contracts import ModelManifest, Region
from cxr_detector.fused import is_fused
from cxr_detector.network import load_network, prepare_ultralytics
from cxr_detector.postprocessing import postprocess
from cxr_detector.preprocessing import place, preprocess
from cxr_serving.model_folder import choose_model, open_model_folder
from cxr_training.core.files import sha256_of
from cxr_training.detector.card import render_card
from cxr_training.export.publishing import CARD_NAME, read_manifest
from support.images import example_image

MODELS = Path(__file__).parents[3] / "models" / "detector"
PUBLISHED = sorted(path.parent for path in MODELS.glob("*/manifest.json"))
NETWORKS = [one for one in PUBLISHED if not is_fused(read_manifest(one).architecture)]


@pytest.fixture(scope="module", params=PUBLISHED, ids=lambda path: path.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def manifest(folder: Path) -> ModelManifest:
    return read_manifest(folder)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda path: path.name)
def network(request: pytest.FixtureRequest) -> Path:
    """The folder of one that is a network of its own."""
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def predictions(network: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of ONNX Runtime and of PyTorch, [3, 4 + kinds, anchors]."""
    manifest = read_manifest(network)
    film = example_image("effusion")
    views = [film, film[:, ::-1], film[40:440, 100:380]]
    resize = manifest.extra.get("resize", "letterbox")
    images = np.stack(
        [preprocess(np.ascontiguousarray(v), manifest.input, resize)[0] for v in views]
    )
    session = ort.InferenceSession(network / manifest.onnx.path)
    with torch.no_grad():
        by_torch = load_network(manifest, network)(torch.from_numpy(images)).numpy()
    return session.run(["predictions"], {"image": images})[0], by_torch


def test_the_one_that_is_served_knows_every_kind_of_region() -> None:
    served = choose_model(MODELS)
    assert served in PUBLISHED
    assert [label.name for label in read_manifest(served).labels] == [r.value for r in Region]


def test_each_is_loaded_by_its_name(folder: Path, manifest: ModelManifest) -> None:
    assert choose_model(MODELS, manifest.name) == folder
    opened = open_model_folder(folder, "detector")
    assert opened.manifest == manifest


def test_the_files_are_those_of_the_manifest(folder: Path, manifest: ModelManifest) -> None:
    for file in (manifest.weights, manifest.onnx):
        assert sha256_of(folder / file.path) == file.sha256


def test_the_card_is_what_the_manifest_says(folder: Path, manifest: ModelManifest) -> None:
    assert (folder / CARD_NAME).read_text() == render_card(manifest)


def test_both_runtimes_answer_alike(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = predictions
    np.testing.assert_allclose(one[:, 4:], other[:, 4:], rtol=0, atol=1e-4)
    # Pixels, up to hundreds: the last digits of a float32 are its own there.
    np.testing.assert_allclose(one[:, :4], other[:, :4], rtol=0, atol=0.05)


def test_the_boxes_of_a_film_are_those_of_ultralytics(
    network: Path, predictions: tuple[np.ndarray, np.ndarray]
) -> None:
    manifest = read_manifest(network)
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
            np.full(
                len(manifest.labels), np.nextafter(np.float32(limit), np.float32(1)), np.float32
            ),
            nms_iou=iou,
            max_boxes=300,
        )
        assert len(ours.scores) == len(theirs) > 5
        np.testing.assert_allclose(ours.scores, theirs[:, 4], atol=1e-3)
        np.testing.assert_allclose(ours.boxes, theirs[:, :4].clip(0, size), atol=0.5)


def test_its_figures_are_of_validation_patients_with_intervals(
    folder: Path, manifest: ModelManifest
) -> None:
    rows = {(row.name, row.subset): row for row in manifest.metrics}
    overall = rows["map50", "all"]
    assert overall.split == "validation"
    assert overall.n == manifest.data.n_validation
    assert 0 < overall.result.low < overall.result.value < overall.result.high < 1
    subsets = {subset for name, subset in rows if name == "map50"}
    assert "side_px=384" in subsets
    if folder.name != "yolov5n-nih":  # NIH drew on large files alone
        assert {"side_px=64", "side_px=128"} <= subsets
