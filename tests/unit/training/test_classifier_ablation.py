"""The ablation: its plan's errors, its figures on drawn answers, and a short real run."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cxr_training.classifier.__main__ import main
from cxr_training.classifier.ablation.plan import Plan, load_plan
from cxr_training.classifier.ablation.report import (
    MEAN,
    PNEUMONIA,
    ablation_lines,
    ablation_table,
    write_ablation,
)
from cxr_training.classifier.samples import LABELS
from cxr_training.core.errors import ConfigError
from synthetic_nih import write_nih

CONFIGS = Path(__file__).parents[3] / "training/configs"
PLAN = Plan.model_validate(
    {
        "budget": [],
        "arms": {
            "recipe": {"says": "the recipe"},
            "blind": {"says": "chance", "against": "recipe"},
            "unfinished": {"says": "not run yet", "against": "recipe"},
        },
        "readings": {"again": {"says": "read twice", "of": "recipe"}},
    }
)


def _write_answers(folder: Path, name: str, skill: float) -> None:
    rng = np.random.default_rng(3)
    targets = (rng.random((400, len(LABELS))) < 0.3).astype(float)
    noise = np.random.default_rng(7).standard_normal(targets.shape)
    np.savez_compressed(
        folder / f"{name}.npz",
        logits=skill * targets + noise,
        targets=targets,
        patients=np.array([f"{i // 2:08d}" for i in range(400)]),
        sources=np.where(np.arange(400) % 4 == 0, "large", "small"),
    )


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    for name, skill in {"recipe": 1.5, "blind": 0.0, "again": 1.5}.items():
        _write_answers(tmp_path, name, skill)
    return tmp_path


def test_an_arm_is_compared_with_its_own_over_the_same_patients(answers: Path) -> None:
    lines = {(x.arm, x.figure): x for x in ablation_lines(PLAN, answers, min_positives=10)}
    assert {arm for arm, _ in lines} == {"recipe", "blind", "again"}
    recipe, blind, again = (lines[name, MEAN] for name in ("recipe", "blind", "again"))
    assert recipe.gain is None
    assert recipe.value.value > 0.8
    assert blind.gain is not None
    assert blind.gain.value == pytest.approx(blind.value.value - recipe.value.value)
    assert blind.gain.high < 0
    # The same answers differ by nothing, in every resample: the draws are paired.
    assert again.gain is not None
    assert (again.gain.low, again.gain.value, again.gain.high) == (0.0, 0.0, 0.0)
    assert 0.3 < lines["blind", PNEUMONIA].value.value < 0.7


def test_the_table_the_csv_and_the_picture_are_made_from_the_same_lines(answers: Path) -> None:
    lines = ablation_lines(PLAN, answers, min_positives=10)
    results = answers / "results"
    write_ablation(lines, results)
    with (results / "ablation.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 1 + len(lines)
    assert rows[1][4] == f"{lines[0].value.value:.4f}"
    assert (results / "ablation.png").stat().st_size > 1000
    table = ablation_table(lines)
    assert table in (results / "ablation.md").read_text()
    assert table.count("\n") == 1 + 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("budget: []\narms: {a: {says: x, against: b}}\nreadings: {}", "b, which is no arm"),
        ("budget: []\narms: {a: {says: x}}\nreadings: {r: {says: x, of: c}}", "c, which is no arm"),
        ("budget: []\narms: {a: {says: x}}\nreadings: {a: {says: x, of: a}}", "both an arm"),
        ("budget: []\narms: {}\nreadings: {}", "arms"),
        ("arms: {a: {says: x, sets: []}}", "sets"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_plan(path)
    assert str(path) in str(caught.value)


def test_the_projects_own_plan_names_keys_of_the_recipe() -> None:
    from cxr_training.classifier.config import load_config

    plan = load_plan(CONFIGS / "ablation.yaml")
    recipe = load_config(CONFIGS / "classifier.yaml", plan.budget)
    for name, arm in plan.arms.items():
        changed = load_config(CONFIGS / "classifier.yaml", (*plan.budget, *arm.set))
        assert (changed != recipe) == bool(arm.set), name


def test_a_short_ablation_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    write_nih(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "budget: [members=1, input.width_px=32, input.height_px=32, pretrained=null]\n"
        "arms:\n"
        "  recipe: {says: the recipe}\n"
        "  asymmetric: {says: another loss, against: recipe, set: [training.loss=asymmetric]}\n"
        "readings:\n"
        "  both: {says: mirrored, of: recipe, mirrored: true}\n"
        "  last: {says: last weights, of: recipe, weights: network}\n"
    )
    command = ["ablate", "--config", str(CONFIGS / "classifier.yaml"), "--plan", str(plan)]
    command += ["--data", str(tmp_path), "--out", str(tmp_path / "runs"), "--smoke"]
    command += ["--results", str(tmp_path / "results")]
    assert main(command) == 0
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.npz")}
    assert set(first) == {"recipe.npz", "asymmetric.npz", "both.npz", "last.npz"}
    (tmp_path / "runs/last.npz").unlink()
    assert main(command) == 0
    second = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.npz")}
    assert {name for name in first if first[name] != second[name]} == {"last.npz"}
    assert "another loss" in (tmp_path / "results/ablation.md").read_text()
