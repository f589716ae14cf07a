"""The backbone learns labels before boxes: from training patients, and it does learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxr_contracts import Architecture
from cxr_detector.network import build_network
from cxr_training.core.errors import RunError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.pretraining import (
    LABELS,
    LabelledImages,
    LabelReader,
    VariedImages,
    backbone_of,
    moved,
    pretrain,
)
from synthetic_radiographs import NO_AUGMENTATION, write_small_data

RECIPE = Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
QUICK = (
    "pretraining={image_px: 32, hours: null, epochs: 2, batch: 8, learning_rate: 0.001, "
    "weight_decay: 0.01}",
    "threads=1",
    "device=cpu",
)
CPU = torch.device("cpu")


def network_named(name: str) -> Any:
    torch.manual_seed(3)
    return build_network(Architecture(library="ultralytics", name=name, arguments={}), 15)


@pytest.fixture(scope="module")
def nih(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("pretraining")).nih


def quick(*changes: str) -> DetectorConfig:
    return DetectorConfig.read(RECIPE, (*QUICK, *changes))


def test_the_backbone_comes_back_changed_under_its_names_in_the_detector(nih: Path) -> None:
    network = network_named("yolov5n")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pretrained = pretrain(network, quick(), nih, CPU)
    assert pretrained.tensors.keys() <= before.keys()
    assert {name.split(".")[1] for name in pretrained.tensors} == {str(n) for n in range(10)}
    assert not torch.equal(pretrained.tensors["model.0.conv.weight"], before["model.0.conv.weight"])
    assert pretrained.facts["epochs_run"] == 2
    assert pretrained.facts["n_train"] > pretrained.facts["n_validation"] > 0
    assert set(pretrained.facts["auroc"]) == {label.value for label in LABELS}
    assert "Pneumonia" not in pretrained.facts["auroc"]


def test_the_same_seed_gives_the_same_backbone(nih: Path) -> None:
    first, second = (pretrain(network_named("yolov5n"), quick(), nih, CPU) for _ in range(2))
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_a_budget_of_time_ends_it(nih: Path) -> None:
    recipe = QUICK[0].replace("hours: null", "hours: 1.0e-9")
    pretrained = pretrain(network_named("yolov5n"), quick(recipe), nih, CPU)
    assert pretrained.facts["epochs_run"] == 1


def test_a_loss_that_leaves_the_numbers_ends_it_with_a_sentence(nih: Path) -> None:
    recipe = QUICK[0].replace("learning_rate: 0.001", "learning_rate: 1.0e+30")
    with pytest.raises(RunError, match=r"no longer finite.*pretraining.learning_rate"):
        pretrain(network_named("yolov5n"), quick(recipe), nih, CPU)


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s", "yolov8n", "yolo11n", "yolo26n"])
def test_the_backbone_of_every_family_is_a_chain(name: str) -> None:
    reader = LabelReader(backbone_of(network_named(name)))
    assert reader(torch.rand(2, 3, 64, 64)).shape == (2, len(LABELS))


def test_images_vary_by_row_and_epoch_and_by_nothing_else() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    images = LabelledImages(pixels, np.eye(3, len(LABELS), dtype=np.float32))
    varied = VariedImages(images, quick().augmentation, seed=7)
    first = [varied[row][0] for row in range(3)]
    assert all(torch.equal(varied[row][0], first[row]) for row in (2, 0, 1))
    varied.epoch = 1
    assert not torch.equal(varied[0][0], first[0])
    assert torch.equal(varied[1][1], torch.eye(3, len(LABELS))[1])


def test_an_image_is_moved_as_far_as_the_recipe_says() -> None:
    grey = np.zeros((64, 64), dtype=np.uint8)
    grey[28:36, 28:36] = 255
    still = moved(grey, NO_AUGMENTATION, np.random.default_rng(1))
    assert np.array_equal(still, grey)
    shifting = NO_AUGMENTATION.model_copy(update={"translate": 0.25})
    for seed in range(8):
        rows, columns = np.nonzero(moved(grey, shifting, np.random.default_rng(seed)) > 127)
        assert abs(rows.mean() - 31.5) <= 17
        assert abs(columns.mean() - 31.5) <= 17
    turning = NO_AUGMENTATION.model_copy(update={"degrees": 15.0, "scale": 0.2})
    rows, columns = np.nonzero(moved(grey, turning, np.random.default_rng(2)) > 127)
    # About the middle, whatever the turn and the scale.
    assert abs(rows.mean() - 31.5) < 1
    assert abs(columns.mean() - 31.5) < 1
