"""Recipes: what they share, what a command line changes, and the ones that are shipped."""

from pathlib import Path

import pytest
import yaml

from cxr_contracts import Region
from cxr_training.data.errors import DataError
from cxr_training.detector.annotations import CHESTXDET_REGIONS, NIH_BOXED_REGIONS
from cxr_training.detector.config import DetectorConfig

CONFIGS = Path(__file__).parents[3] / "training" / "configs"
SHIPPED = sorted((CONFIGS / "detector").glob("yolo*.yaml"))
ON_A_GPU = sorted((CONFIGS / "detector/gpu").glob("yolo*.yaml"))


@pytest.mark.parametrize("path", [*SHIPPED, *ON_A_GPU], ids=lambda path: str(path.parent.stem))
def test_a_shipped_recipe_is_named_after_what_it_learns(path: Path) -> None:
    config = DetectorConfig.read(path)
    sets = "both" if len(config.data.sets) == 2 else config.data.sets[0]
    trunk = "-lite0" if config.trunk else ""
    assert config.name == path.stem == f"{config.architecture}{trunk}-{sets}"
    # COCO's weights fit YOLOv5n only; the others learn labels before boxes.
    assert (config.pretraining is None) == (config.architecture == "yolov5n")
    assert config.resize == "stretch"


def test_the_three_experiments_and_the_families_are_shipped() -> None:
    configs = [DetectorConfig.read(path) for path in SHIPPED]
    assert {config.data.sets for config in configs if config.architecture == "yolov5n"} == {
        ("nih",),
        ("chestx-det",),
        ("nih", "chestx-det"),
    }
    assert {config.architecture for config in configs} == {"yolov5n", "yolov5s", "yolo26n"}


def test_a_gpu_learns_the_same_from_more_pixels() -> None:
    assert [path.name for path in ON_A_GPU] == [path.name for path in SHIPPED]
    for path, other in zip(ON_A_GPU, SHIPPED, strict=True):
        large, small = DetectorConfig.read(path), DetectorConfig.read(other)
        assert large.image_px > small.image_px
        same = ("data", "resize", "augmentation", "optimizer", "merge_iou", "nms_iou")
        assert [getattr(large, key) for key in same] == [getattr(small, key) for key in same]


def test_a_recipe_that_is_its_own_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("base: mine.yaml\n")
    with pytest.raises(DataError, match=r"mine\.yaml.*is its own base"):
        DetectorConfig.read(path)


def test_a_recipe_of_one_set_knows_the_classes_that_it_marks() -> None:
    one, other = (
        DetectorConfig.read(CONFIGS / f"detector/yolov5n-{s}.yaml") for s in ("nih", "chestx-det")
    )
    assert set(one.regions) == NIH_BOXED_REGIONS
    assert set(other.regions) == CHESTXDET_REGIONS
    assert list(one.regions) == [region for region in Region if region in NIH_BOXED_REGIONS]


def test_a_recipe_from_before_a_key_is_read_as_it_was(tmp_path: Path) -> None:
    recipe = yaml.safe_load((CONFIGS / "detector/base.yaml").read_text())
    for key in ("data", "resize", "device", "threads", "precision", "average_steps"):
        del recipe[key]
    path = tmp_path / "first.yaml"
    path.write_text(yaml.safe_dump(recipe))
    config = DetectorConfig.read(path)
    assert config.regions == tuple(Region)
    assert (config.resize, config.threads, config.average_steps) == ("letterbox", 1, None)
    assert (config.data.rare_share, config.pretraining) == (0, None)


def test_a_recipe_changes_its_base_section_by_section(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((CONFIGS / "detector/base.yaml").read_text())
    path = tmp_path / "other.yaml"
    path.write_text("base: base.yaml\naugmentation: {mosaic: 0.0}\n")
    base, config = DetectorConfig.read(tmp_path / "base.yaml"), DetectorConfig.read(path)
    assert config.augmentation.mosaic == 0
    augmentation = base.augmentation.model_copy(update={"mosaic": 0.0})
    assert config == base.model_copy(update={"augmentation": augmentation})


def test_the_command_line_changes_a_key() -> None:
    changes = ["hours=0.5", "data.rare_share=0.1", "data.sets=[nih]"]
    config = DetectorConfig.read(CONFIGS / "detector/yolov5n-both.yaml", changes)
    assert (config.hours, config.data.rare_share, config.data.sets) == (0.5, 0.1, ("nih",))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("hours", "expected KEY=VALUE"),
        ("data.sets=[vindr]", "data.sets.0"),
        ("data.sets=[]", "at least 1 item"),
        ("hour=1", "Extra inputs are not permitted"),
        ("resize=crop", "'letterbox' or 'stretch'"),
    ],
)
def test_a_change_that_makes_no_recipe_is_refused(change: str, sentence: str) -> None:
    with pytest.raises(DataError) as refused:
        DetectorConfig.read(CONFIGS / "detector/yolov5n-both.yaml", [change])
    assert sentence in str(refused.value)


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("- yolov5n\n")
    with pytest.raises(DataError, match="keys and values are expected"):
        DetectorConfig.read(path)
