"""A timm network under YOLOv5's neck: what it answers, what fills it, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cxr_contracts import Architecture
from cxr_detector.network import build_network
from cxr_serving.model_folder import ModelFolderError
from cxr_training.core.errors import RunError
from cxr_training.data.errors import DataError
from cxr_training.detector.config import DetectorConfig
from cxr_training.detector.run import train
from cxr_training.detector.start import BACKBONE_PREFIX, Start, read_start
from support.model_folders import write_classifier_folder

LITE0 = "tf_efficientnet_lite0"
RECIPE = Path(__file__).parents[3] / "training/configs/detector/yolov5n-lite0-both.yaml"
# A neck without its backbone: the pooling pyramid and what follows, but for the head.
NECK = tuple(f"model.{number}." for number in range(9, 24))


def build(backbone: str | None, name: str = "yolov5n") -> Any:
    arguments = {} if backbone is None else {"backbone": backbone}
    return build_network(
        Architecture(library="ultralytics", name=name, arguments=arguments), n_labels=15
    )


@pytest.fixture(scope="module")
def on_backbone() -> Any:
    torch.manual_seed(0)
    return build(LITE0)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coco") / "start.safetensors"
    save_file(build(None).state_dict(), path)
    return path


@pytest.mark.parametrize("backbone", [LITE0, "resnet18"])
def test_it_answers_in_the_form_of_the_yolo_that_it_replaces_a_part_of(backbone: str) -> None:
    image = torch.rand(2, 3, 96, 64)
    with torch.no_grad():
        assert build(backbone)(image).shape == build(None)(image).shape


def test_it_reads_one_plane_as_the_classifier_does(on_backbone: Any) -> None:
    backbone, image = on_backbone.model[0], torch.rand(1, 3, 64, 64)
    maps = backbone(image)
    assert [tuple(one.shape[2:]) for one in maps] == [(8, 8), (4, 4), (2, 2)]
    for one, other in zip(maps, backbone.network(image[:, :1] * 2 - 1), strict=True):
        torch.testing.assert_close(one, other)


def test_the_neck_is_filled_from_coco_and_the_backbone_from_a_published_classifier(
    on_backbone: Any, coco: Path, tmp_path: Path
) -> None:
    classifier = write_classifier_folder(tmp_path / "classifier")
    own = on_backbone.state_dict()
    found = read_start(Start(coco, "COCO", classifier), own, "yolov5n")
    given, theirs_all = load_file(coco), load_file(classifier / "weights.safetensors")
    for name, tensor in own.items():
        if name.startswith(BACKBONE_PREFIX):
            theirs = theirs_all[f"backbone.{name.removeprefix(BACKBONE_PREFIX)}"]
            assert torch.equal(found.tensors[name], theirs.to(tensor.dtype))
        elif name.startswith(NECK):
            assert torch.equal(found.tensors[name], given[name])
    assert found.facts["backbone"]["source"].startswith("random-classifier")
    assert found.facts["fits"] > 0.8 * found.facts["of"]


def test_coco_alone_fills_too_little_of_it(on_backbone: Any, coco: Path) -> None:
    with pytest.raises(DataError, match=r"does not fit yolov5n: \d+ of its \d+ tensors"):
        read_start(Start(coco, "COCO"), on_backbone.state_dict(), "yolov5n")


def test_a_classifier_whose_weights_are_not_its_manifests_is_never_opened(
    on_backbone: Any, coco: Path, tmp_path: Path
) -> None:
    classifier = write_classifier_folder(tmp_path / "classifier")
    weights = classifier / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelFolderError, match="changed after it was published"):
        read_start(Start(coco, "COCO", classifier), on_backbone.state_dict(), "yolov5n")


@pytest.mark.parametrize(
    ("backbone", "name", "sentence"),
    [
        (LITE0, "yolo26n", "the place of YOLOv5's backbone, not of yolo26n's"),
        ("no_such_network", "yolov5n", "timm has no model 'no_such_network'"),
        ("vit_tiny_patch16_224", "yolov5n", "vit_tiny_patch16_224"),
    ],
)
def test_what_is_no_backbone_is_refused_with_a_sentence(
    backbone: str, name: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        build(backbone, name)


def test_the_recipe_freezes_the_stem_and_two_stages(on_backbone: Any) -> None:
    frozen = tuple(f"model.{layer}." for layer in DetectorConfig.read(RECIPE).frozen)
    names = {name for name, _ in on_backbone.named_parameters() if name.startswith(frozen)}
    parts = {".".join(name.removeprefix(BACKBONE_PREFIX).split(".")[:2]) for name in names}
    assert parts == {"conv_stem.weight", "bn1.weight", "bn1.bias", "blocks.0", "blocks.1"}


def test_a_recipe_that_freezes_what_the_backbone_has_not_is_refused(tmp_path: Path) -> None:
    config = DetectorConfig.read(RECIPE, ["backbone.network=resnet18"])
    with pytest.raises(RunError, match=r"freezes 0\.network\.conv_stem"):
        train(config, None, None, tmp_path, command="", commit="")  # type: ignore[arg-type]
