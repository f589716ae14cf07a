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
    LabelClassifier,
    backbone_of,
    movement,
    pretrain,
)
from support.synthetic_radiographs import NO_AUGMENTATION, write_small_data

RECIPE = Path(__file__).parents[3] / "training/configs/detector/yolov5n-both.yaml"
QUICK = (
    "pretraining={image_px: 32, epochs: 2, batch: 8, learning_rate: 0.001, weight_decay: 0.01}",
    "threads=1",
    "device=cpu",
)
CPU = torch.device("cpu")


def network_named(name: str) -> Any:
    torch.manual_seed(3)
    return build_network(Architecture(library="ultralytics", name=name, arguments={}), 15)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_data(tmp_path_factory.mktemp("pretraining")).nih.parent


def quick(*changes: str) -> DetectorConfig:
    return DetectorConfig.read(RECIPE, (*QUICK, *changes))


def test_the_backbone_comes_back_changed_under_its_names_in_the_detector(data: Path) -> None:
    network = network_named("yolov5n")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pretrained = pretrain(network, quick(), data, CPU)
    assert pretrained.tensors.keys() <= before.keys()
    assert {name.split(".")[1] for name in pretrained.tensors} == {str(n) for n in range(10)}
    assert not torch.equal(pretrained.tensors["model.0.conv.weight"], before["model.0.conv.weight"])
    assert pretrained.facts["epochs_run"] == 2
    assert pretrained.facts["n_train"] > pretrained.facts["n_validation"] > 0
    assert 0 <= pretrained.facts["mean_auroc"] <= 1


def test_the_same_seed_gives_the_same_backbone(data: Path) -> None:
    first, second = (pretrain(network_named("yolov5n"), quick(), data, CPU) for _ in range(2))
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_a_loss_that_leaves_the_numbers_ends_it_with_a_sentence(data: Path) -> None:
    recipe = QUICK[0].replace("learning_rate: 0.001", "learning_rate: 1.0e+30")
    with pytest.raises(RunError, match=r"no longer finite.*pretraining.learning_rate"):
        pretrain(network_named("yolov5n"), quick(recipe), data, CPU)


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s", "yolov8n", "yolo11n", "yolo26n"])
def test_the_backbone_of_every_family_is_a_chain(name: str) -> None:
    classifier = LabelClassifier(backbone_of(network_named(name)))
    images = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    assert classifier(images).shape == (2, len(LABELS))


def test_an_image_is_moved_as_far_as_the_recipe_says() -> None:
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[:, 28:36, 28:36] = 255
    assert torch.equal(movement(NO_AUGMENTATION)(image), image)
    shifted = movement(NO_AUGMENTATION.model_copy(update={"translate": 0.25}))
    for _ in range(8):
        rows, columns = np.nonzero(shifted(image)[0].numpy() > 127)
        assert max(abs(rows.mean() - 31.5), abs(columns.mean() - 31.5)) <= 17
