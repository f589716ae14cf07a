"""Recipes: what they share, what a command line changes, and the ones that are shipped."""

from pathlib import Path

import pytest

from cxr_contracts import Region
from cxr_training.core.errors import ConfigError
from cxr_training.data.annotations import CHESTX_DET, NIH
from cxr_training.detector.config import DetectorConfig

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SHIPPED = sorted((CONFIGS / "detector").glob("yolo*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_named_after_what_it_learns(path: Path) -> None:
    config = DetectorConfig.read(path)
    sets = "both" if len(config.data.sets) == 2 else config.data.sets[0]
    if config.distillation:
        sets = "distilled"
    backbone = "-lite0" if config.backbone else ""
    assert config.name == path.stem == f"{config.architecture}{backbone}-{sets}"
    # COCO's weights fit YOLOv5n only, and a student starts from a detector; the others learn labels
    # before boxes.
    starts = config.architecture == "yolov5n" or config.distillation is not None
    assert (config.pretraining is None) == starts


def test_the_three_experiments_and_the_families_are_shipped() -> None:
    configs = [DetectorConfig.read(path) for path in SHIPPED]
    assert {config.data.sets for config in configs if config.architecture == "yolov5n"} == {
        ("nih",),
        ("chestx-det",),
        ("nih", "chestx-det"),
    }
    assert {config.architecture for config in configs} == {"yolov5n", "yolov5s", "yolo26n"}


def test_a_recipe_of_one_set_knows_the_classes_that_it_marks() -> None:
    one, other = (
        DetectorConfig.read(CONFIGS / f"detector/yolov5n-{s}.yaml") for s in ("nih", "chestx-det")
    )
    assert set(one.regions) == NIH.regions
    assert set(other.regions) == CHESTX_DET.regions
    assert list(one.regions) == [region for region in Region if region in NIH.regions]


def test_the_command_line_changes_a_key() -> None:
    changes = ["epochs=5", "data.rare_share=0.2", "data.sets=[nih]"]
    config = DetectorConfig.read(CONFIGS / "detector/yolov5n-both.yaml", changes)
    assert (config.epochs, config.data.rare_share, config.data.sets) == (5, 0.2, ("nih",))


@pytest.mark.parametrize(
    "change", ["epochs", "data.sets=[vindr]", "data.sets=[]", "epoch=1", "device=gpu"]
)
def test_a_change_that_makes_no_recipe_is_refused(change: str) -> None:
    with pytest.raises(ConfigError):
        DetectorConfig.read(CONFIGS / "detector/yolov5n-both.yaml", [change])


def test_a_recipe_with_a_timm_backbone_has_no_pretraining() -> None:
    change = "pretraining={image_px: 64, epochs: 1, batch: 8, learning_rate: 0.1, weight_decay: 0}"
    with pytest.raises(ConfigError, match="no pretraining"):
        DetectorConfig.read(CONFIGS / "detector/yolov5n-lite0-both.yaml", [change])
