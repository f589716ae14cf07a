"""A detector on the classifier's network, from its start to what is published."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cxr_contracts import Architecture, ModelManifest
from cxr_detector.network import build_network, load_network
from cxr_training.cli import main
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.publish import evaluate_run
from cxr_training.detector.start import BACKBONE_PREFIX
from support.model_folders import write_classifier_folder
from support.synthetic_radiographs import write_small_data

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[3] / "training/configs/detector/yolov5n-lite0-both.yaml"
# One epoch of a few steps; `--smoke` takes two images a step, each as long as one of eight.
QUICK = ("image_px=64", "epochs=1", "batch=8", "threads=1", "validate_every=1")
FROZEN = tuple(f"{BACKBONE_PREFIX}{part}." for part in ("conv_stem", "bn1", "blocks.0", "blocks.1"))


class Run:
    """One short run, and where its parts lie."""

    def __init__(self, root: Path) -> None:
        data = write_small_data(root / "data")
        torch.manual_seed(1)
        yolov5n = Architecture(library="ultralytics", name="yolov5n", arguments={})
        save_file(build_network(yolov5n, 15).state_dict(), root / "coco.safetensors")
        self.classifier = write_classifier_folder(root / "classifier")
        self.out, self.models = root / "run", root / "models"
        self._data = data.nih.parent
        self._arguments = {
            "train": [
                *("--config", str(RECIPE), *(x for one in QUICK for x in ("--set", one))),
                *("--data", str(self._data), "--out", str(self.out)),
                *("--coco-start", str(root / "coco.safetensors")),
                *("--backbone-start", str(self.classifier)),
            ],
            "publish": [
                *("--run", str(self.out), "--models", str(self.models)),
                *("--results", str(root / "results")),
            ],
        }

    def step(self, name: str) -> int:
        return main(["detector", name, *self._arguments[name]])

    def evaluate(self) -> None:
        """As the command, but for intervals that nobody looks at here."""
        config = DetectorConfig.read(self.out / "config.yaml")
        evaluate_run(config, self._data, self.out, resamples=20)

    @property
    def folder(self) -> Path:
        return self.models / RECIPE.stem


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("backbone"))
    assert run.step("train") == 0
    run.evaluate()
    assert run.step("publish") == 0
    return run


def test_the_frozen_stages_stay_the_classifiers_to_their_statistics_and_the_rest_learns(
    finished: Run,
) -> None:
    start = load_file(finished.classifier / "weights.safetensors")
    last = load_file(finished.out / "train/last.safetensors")
    moved = set()
    for name, tensor in last.items():
        if not name.startswith(BACKBONE_PREFIX) or not tensor.is_floating_point():
            continue
        begun = start[f"backbone.{name.removeprefix(BACKBONE_PREFIX)}"].to(tensor.dtype)
        if name.startswith(FROZEN):
            assert torch.equal(tensor, begun), name
        elif not torch.equal(tensor, begun):
            moved.add(name.removeprefix(BACKBONE_PREFIX).split(".")[1])
    assert moved == {"2", "3", "4", "5", "6"}


def test_run_manifest_and_card_say_what_it_stands_on(finished: Run) -> None:
    run = json.loads((finished.out / "run.json").read_text())
    published = ModelManifest.model_validate_json(
        (finished.classifier / "manifest.json").read_text()
    )
    assert run["start"]["backbone"]["sha256"] == published.weights.sha256
    manifest = ModelManifest.model_validate_json((finished.folder / "manifest.json").read_text())
    assert manifest.architecture.arguments == {"backbone": "tf_efficientnet_lite0"}
    backbone = (
        f"its backbone: the first network of the classifier {published.name} {published.version}"
    )
    assert backbone in manifest.data.sources[-1]
    card = (finished.folder / "MODEL_CARD.md").read_text()
    assert "yolov5n on tf_efficientnet_lite0 (ultralytics)" in card


def test_what_is_published_answers_in_pytorch_as_well(finished: Run) -> None:
    manifest = ModelManifest.model_validate_json((finished.folder / "manifest.json").read_text())
    with torch.no_grad():
        answer = load_network(manifest, finished.folder)(torch.rand(1, 3, 64, 64))
    assert answer.shape == (1, 4 + 15, 8 * 8 + 4 * 4 + 2 * 2)
    assert bool(torch.isfinite(answer).all())
