"""Recipes that state only what is other than in their base."""

from pathlib import Path

import pytest

from cxr_gan.training.config import load_config
from cxr_training.core.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "gan" / "configs"
SHIPPED = [path for path in sorted(CONFIGS.glob("*.yaml")) if path.stem != "study"]


def test_each_recipe_has_one_for_a_gpu_that_makes_larger_images() -> None:
    assert [path.name for path in sorted((CONFIGS / "gpu").glob("*.yaml"))] == [
        path.name for path in SHIPPED
    ]
    for path in SHIPPED:
        small, large = load_config(path), load_config(CONFIGS / "gpu" / path.name)
        assert (small.image.side_px, large.image.side_px) == (64, 128)
        assert large.network.channels > small.network.channels
        # What makes it that generation, and its name, are the base's.
        same = ("name", "labels", "loss")
        assert [getattr(large, key) for key in same] == [getattr(small, key) for key in same]
        assert large.network.family == small.network.family
        assert large.training.betas == small.training.betas


def test_a_recipe_changes_its_base_section_by_section(tmp_path: Path) -> None:
    base = CONFIGS / "pggan.yaml"
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"base: {base}\nseed: 7\nnetwork: {{channels: 4}}\n")
    mine, theirs = load_config(recipe), load_config(base)
    assert (mine.seed, mine.network.channels) == (7, 4)
    assert mine.network.most_channels == theirs.network.most_channels
    assert load_config(recipe, ("network.channels=6",)).network.channels == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base: mine.yaml\n", "is its own base"),
        ("base: none.yaml\n", "no such file"),
        ("- 3\n", "keys and values are expected"),
    ],
)
def test_a_base_that_cannot_be_used_is_said(tmp_path: Path, text: str, said: str) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(recipe)
