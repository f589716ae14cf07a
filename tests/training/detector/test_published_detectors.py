"""Every detector that stands under models/, on a radiograph of the published generator."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from cxr_contracts import ModelManifest, Region
from cxr_detector.fused import is_fused
from cxr_detector.network import load_network, prepare_ultralytics
from cxr_detector.placement import place
from cxr_detector.postprocessing import postprocess
from cxr_detector.preprocessing import preprocess
from cxr_serving.model_folder import choose_model, open_model_folder
from cxr_training.core.runs import sha256_of
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
    radiograph = example_image("effusion")
    views = [radiograph, radiograph[:, ::-1], radiograph[40:440, 100:380]]
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
    int8 = manifest.int8
    files = [manifest.weights, manifest.onnx, *([int8.onnx] if int8 else [])]
    assert all(sha256_of(folder / file.path) == file.sha256 for file in files)
    assert int8 is None or int8.failed_gate is None


def test_the_card_is_what_the_manifest_says(folder: Path, manifest: ModelManifest) -> None:
    assert (folder / CARD_NAME).read_text() == render_card(manifest)


def test_both_runtimes_answer_alike(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = predictions
    np.testing.assert_allclose(one[:, 4:], other[:, 4:], rtol=0, atol=1e-4)
    # Pixels, up to hundreds: the last digits of a float32 are its own there.
    np.testing.assert_allclose(one[:, :4], other[:, :4], rtol=0, atol=0.05)


def test_the_boxes_of_a_radiograph_are_those_of_ultralytics(
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


@pytest.mark.parametrize("split", ["validation", "test"])
def test_its_figures_are_of_each_split_with_intervals(
    folder: Path, manifest: ModelManifest, split: str
) -> None:
    rows = {(row.name, row.subset): row for row in manifest.metrics if row.split == split}
    for name in ("map50", "map50_frequent"):
        overall = rows[name, "all"]
        assert 0 < overall.result.low < overall.result.value < overall.result.high < 1
    assert split == "test" or rows["map50", "all"].n == manifest.data.n_validation
    subsets = {subset for name, subset in rows if name == "map50"}
    assert "side_px=512" in subsets
    if folder.name != "yolov5n-nih":  # NIH drew on large files alone
        assert {"side_px=64" if split == "validation" else "view=AP", "side_px=128"} <= subsets
