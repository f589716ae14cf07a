"""The whole way on generated images: train, evaluate, publish, and serve from what came out."""

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
import yaml
from PIL import Image, ImageColor
from safetensors.torch import load_file, save_file
from scipy import ndimage

from cxr_contracts import Architecture, ModelManifest, Region
from cxr_detector.network import build_network, load_network
from cxr_detector.postprocessing import postprocess
from cxr_detector.preprocessing import preprocess
from cxr_training.cli import main
from cxr_training.core.checkpoints import read_checkpoint
from cxr_training.core.runs import sha256_of
from support.synthetic_radiographs import SyntheticData, write_small_data

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
NAME = CONFIG.stem
LABELS_FIRST = (
    "pretraining={image_px: 64, epochs: 3, batch: 8, learning_rate: 0.001, weight_decay: 0.05}"
)


class Run:
    """A command line over one set of folders."""

    def __init__(self, root: Path) -> None:
        self.data: SyntheticData = write_small_data(root / "data")
        self.start = root / "start.safetensors"
        self.out = root / "run"
        self.models = root / "models"
        self.results = root / "results"
        self.config = CONFIG
        torch.manual_seed(1)
        network = build_network(
            Architecture(library="ultralytics", name="yolov5n", arguments={}), 15
        )
        # A start that knows the backbone only, as the published one does.
        state = {k: v.half() for k, v in network.state_dict().items() if "model.24." not in k}
        save_file(state, self.start)

    def step(self, name: str) -> int:
        recipe = ["--smoke", "--config", str(self.config), "--set", LABELS_FIRST]
        recipe += ["--set", "image_px=128"]
        run, data = ["--out", str(self.out)], ["--data", str(self.data.nih.parent)]
        arguments = {
            "train": [*recipe, *run, *data, "--coco-start", str(self.start)],
            "evaluate": [*recipe, *run, *data],
            "publish": [
                *(*recipe, *run, "--version", "1.0.1"),
                *("--models", str(self.models), "--results", str(self.results)),
            ],
        }
        return main(["detector", name, *arguments[name]])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("detector"))
    assert [run.step(name) for name in ("train", "evaluate", "publish")] == [0, 0, 0]
    return run


@pytest.fixture(scope="module")
def manifest(finished: Run) -> ModelManifest:
    path = finished.models / NAME / "manifest.json"
    return ModelManifest.model_validate_json(path.read_text())


def points_of(curves: Path) -> int:
    """How many marks of the first colour the left panel has besides its legend's line."""
    image = np.asarray(Image.open(curves).convert("RGB")).astype(int)
    first = np.abs(image - ImageColor.getrgb("#1f77b4")).sum(-1) < 30
    _, marks = ndimage.label(first[:, : image.shape[1] // 2])
    return int(marks) - 1


def test_the_run_directory_describes_itself(finished: Run) -> None:
    out = finished.out
    run = json.loads((out / "run.json").read_text())
    assert run["n_train"] > run["n_validation"] > 15
    assert len(run["split_sha256"]) == 64
    assert run["commit"]
    assert run["start"]["fits"] > 0.7 * run["start"]["of"]
    assert yaml.safe_load((out / "config.yaml").read_text())["epochs"] == 1
    with (out / "train" / "results.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1
    assert float(rows[0]["train/cls_loss"]) > 0
    assert (out / "curves.png").stat().st_size > 5000
    assert points_of(out / "curves.png") == 1
    assert "train" in (out / "splits.csv").read_text()


def test_training_moved_the_weights_away_from_the_start(finished: Run) -> None:
    start, last = load_file(finished.start), load_file(finished.out / "train/last.safetensors")
    key = "model.0.conv.weight"
    assert 0 < (start[key].float() - last[key]).abs().max() < 0.1


def test_nothing_is_left_behind_that_only_unpickling_could_read(finished: Run) -> None:
    [state] = finished.out.rglob("*.pt")
    assert read_checkpoint(state)["progress"]["epochs"] == 1


def test_the_manifest_names_its_files_labels_and_figures(
    finished: Run, manifest: ModelManifest
) -> None:
    folder = finished.models / NAME
    for file in (manifest.weights, manifest.onnx):
        assert sha256_of(folder / file.path) == file.sha256
    assert [label.name for label in manifest.labels] == [region.value for region in Region]
    assert all(0 < label.threshold < 1 and label.threshold_rule for label in manifest.labels)
    named = {(row.name, row.subset) for row in manifest.metrics}
    assert {("map50", "all"), ("map50_95", "all"), ("froc_0.5", "all")} <= named
    assert {("map50", "side_px=64"), ("map50", "side_px=128")} & named
    assert manifest.training.recipe["epochs_run"] == 1
    assert manifest.training.recipe["n_background"] == 3
    assert manifest.extra == {"nms_iou": 0.5, "max_boxes": 30, "resize": "stretch"}
    start = "Start: YOLOv5n v6 on COCO by Ultralytics (AGPL-3.0), then NIH's labels of "
    assert manifest.data.sources[-1].startswith(start)
    assert manifest.training.recipe["pretrained"]["epochs_run"] == 1


def test_a_version_is_given_when_a_run_is_published_and_its_curves_go_to_the_results(
    finished: Run, manifest: ModelManifest
) -> None:
    assert manifest.version == "1.0.1"
    assert yaml.safe_load((finished.out / "config.yaml").read_text())["version"] == "1.0.0"
    drawn = (finished.results / f"curves_{NAME}.png").read_bytes()
    assert drawn == (finished.out / "curves.png").read_bytes()


def test_training_validates_by_the_figure_that_is_published(
    finished: Run, manifest: ModelManifest
) -> None:
    with (finished.out / "train" / "results.csv").open() as stream:
        [last] = csv.DictReader(stream)
    published = {row.name: row.result.value for row in manifest.metrics if row.subset == "all"}
    for name in ("map50", "map50_95"):
        assert round(float(last[name]), 4) == pytest.approx(published[name], abs=1e-4)


def test_what_was_published_is_verified_and_reported(finished: Run) -> None:
    model = ["--model", str(finished.models / NAME), "--data", str(finished.data.nih.parent)]
    before = sorted(finished.models.rglob("*"))
    assert main(["detector", "verify", *model]) == 0
    assert sorted(finished.models.rglob("*")) == before
    results = ["--results", str(finished.results)]
    assert main(["detector", "evaluate", *model, *results]) == 0
    page = (finished.results / "README.md").read_text()
    assert f"[{NAME}](curves_{NAME}.png)" in page


def test_the_card_is_made_of_the_manifest(finished: Run, manifest: ModelManifest) -> None:
    card = (finished.models / NAME / "MODEL_CARD.md").read_text()
    assert manifest.training.commit in card
    for label in manifest.labels:
        assert f"| {label.name.replace('_', ' ')} |" in card
    assert "Not a medical device" in card
    assert "Before the boxes, the layers before the neck learnt NIH's labels" in card


def test_both_runtimes_draw_the_same_boxes(finished: Run, manifest: ModelManifest) -> None:
    folder = finished.models / NAME
    session = ort.InferenceSession(folder / manifest.onnx.path)
    network = load_network(manifest, folder)
    grey = np.random.default_rng(0).integers(0, 256, (200, 160), dtype=np.uint8)
    tensor, placement = preprocess(grey, manifest.input, "stretch")
    images = np.stack([tensor, tensor[:, ::-1], tensor])
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    got = session.run(["predictions"], {"image": images})[0]
    assert got.shape == (3, 4 + 15, 16 * 16 + 8 * 8 + 4 * 4)
    np.testing.assert_allclose(got, expected, atol=1e-3)
    lowest = np.full(15, float(np.sort(expected[0, 4:].ravel())[-30]), np.float32)
    boxes = [
        postprocess(one, placement, lowest, nms_iou=0.5, max_boxes=30)
        for one in (got[0], expected[0])
    ]
    assert len(boxes[0].scores) > 0
    assert boxes[0].boxes.max() <= 200


def test_the_onnx_file_names_no_path_of_the_machine_that_made_it(
    finished: Run, manifest: ModelManifest
) -> None:
    raw = (finished.models / NAME / manifest.onnx.path).read_bytes()
    assert b".py" not in raw
    assert b"site-packages" not in raw


def test_publishing_before_evaluation_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Run(tmp_path).step("publish") == 2
    assert "run `evaluate` first" in capsys.readouterr().err


def test_evaluation_before_training_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Run(tmp_path).step("evaluate") == 2
    assert "run `train` first" in capsys.readouterr().err


def test_a_recipe_with_a_misspelt_key_ends_the_run_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    run.config = tmp_path / "recipe.yaml"
    run.config.write_text(f"base: {CONFIG}\nepoch: 3\n")
    assert run.step("train") == 2
    assert "epoch" in capsys.readouterr().err


def test_without_the_start_nothing_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path)
    run.start.unlink()
    assert run.step("train") == 2
    assert "is missing (the network's start" in capsys.readouterr().err
