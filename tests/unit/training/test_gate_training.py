"""The gate's training: strangers are what they claim to be, and the commands run end to end."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from cxr_gateway.ood import load_ood_detector
from cxr_training.gate import strangers
from cxr_training.gate.__main__ import main
from cxr_training.gate.config import KINDS, GateConfig, read_config
from cxr_training.gate.distortions import distort, place
from cxr_training.gate.evaluation import share
from cxr_training.gate.fitting import build_network, fit_one_class
from cxr_training.gate.medical import MEDICAL_FILES
from cxr_training.gate.photographs import JUDGING_FILES, TRAINING_FILES
from cxr_training.gate.procedural import PROCEDURAL, phantom
from cxr_training.gate.radiographs import read_gate_data
from cxr_training.gate.unseen import UNSEEN

CONFIG = Path(__file__).parents[3] / "training/configs/gate.yaml"


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def small_config() -> GateConfig:
    config = read_config(CONFIG)
    changes = {"steps": 12, "batch": 32, "n_procedural": 22, "n_photograph_crops": 14}
    return GateConfig.model_validate({**config.model_dump(), **changes, "calibration_percent": 40})


def write_data(root: Path, n_patients: int) -> None:
    """A data set in NIH's layout whose radiographs are drawn."""
    (root / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    ]
    for patient in range(1, n_patients + 1):
        name = f"{patient:08d}_000.png"
        side = (64, 128, 300)[patient % 3]
        Image.fromarray(phantom(rng, side)).save(root / "images" / name)
        label = "No Finding" if patient % 2 else "Mass"
        rows.append(f"{name},{label},0,{patient},{10 + patient},M,{'PA' if patient % 4 else 'AP'}")
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join(rows) + "\n")


def test_turned_and_flipped_pictures_come_back_by_the_opposite_move(
    pictures: torch.Tensor, generator: torch.Generator
) -> None:
    assert torch.equal(strangers.turned_left(strangers.turned_right(pictures)), pictures)
    assert torch.allclose(strangers.inverted(strangers.inverted(pictures)), pictures)
    down = strangers.upside_down(pictures, generator).flip(2)
    mirrored = [not torch.equal(a, b) for a, b in zip(down, pictures, strict=True)]
    assert all(
        torch.equal(a.flip(2) if m else a, b)
        for a, b, m in zip(down, pictures, mirrored, strict=True)
    )


def test_shuffling_leaves_no_tile_in_its_place_and_loses_none(generator: torch.Generator) -> None:
    # Every pixel of a tile of 4 carries the tile's number, so at any tiling the places show.
    numbers = torch.arange(64.0).view(1, 1, 8, 8)
    picture = numbers.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for _ in range(20):
        dealt = strangers.shuffled(picture, generator)
        assert not (dealt == picture).any()
        assert torch.equal(dealt.flatten().sort().values, picture.flatten().sort().values)


@pytest.mark.parametrize("way", [*dict.fromkeys(strangers.SPOILED), strangers.spoil])
def test_spoiled_pictures_keep_their_shape_and_range_but_not_their_content(
    way: object, pictures: torch.Tensor, generator: torch.Generator
) -> None:
    assert callable(way)
    smooth = torch.nn.functional.interpolate(pictures[:, :, :4, :4], (32, 32), mode="bilinear")
    spoiled = way(smooth, generator)
    assert spoiled.shape == smooth.shape
    assert 0 <= spoiled.min() <= spoiled.max() <= 1
    assert (spoiled - smooth).abs().mean() > 0.02


def test_placing_brings_to_size_and_stays_in_range(
    pictures: torch.Tensor, generator: torch.Generator
) -> None:
    placed = place(pictures, 16, generator, turn_deg=10, zoom=(0.9, 1.1), shift=0.1)
    assert placed.shape == (6, 1, 16, 16)
    assert 0 <= placed.min() <= placed.max() <= 1


def test_placing_without_leeway_leaves_a_row_of_even_columns_alone(
    generator: torch.Generator,
) -> None:
    # The height still varies by a tenth and half are mirrored; an upright bar shows neither.
    bar = torch.zeros(20, 1, 32, 32)
    bar[:, :, :, 12:20] = 1.0
    placed = place(bar, 32, generator, turn_deg=0, zoom=(1, 1), shift=0)
    assert torch.allclose(placed[:, :, 4:28], bar[:, :, 4:28], atol=1e-4)


def test_distortions_stay_in_range_and_follow_their_seed(pictures: torch.Tensor) -> None:
    first = distort(pictures, torch.Generator().manual_seed(1))
    again = distort(pictures, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)
    assert 0 <= first.min() <= first.max() <= 1
    assert not torch.equal(first, pictures)


def test_drawn_kinds_differ_from_each_other_and_fit_their_frame() -> None:
    for kinds in (PROCEDURAL, UNSEEN):
        for name, draw in kinds.items():
            first, second = (draw(np.random.default_rng(seed), 100) for seed in (1, 2))
            assert first.dtype == np.uint8, name
            assert first.ndim == 2, name
            assert first.shape[1] == 100, name
            assert first.shape != second.shape or not np.array_equal(first, second), name


def test_no_file_and_no_kind_both_trains_and_judges() -> None:
    assert not set(TRAINING_FILES) & set(JUDGING_FILES)
    assert not set(PROCEDURAL) & set(UNSEEN)
    assert all("dcm" not in path for _, path in TRAINING_FILES)
    names = [name for names in MEDICAL_FILES.values() for name in names]
    assert len(names) == len(set(names))


def test_the_one_class_distance_grows_away_from_what_it_was_fitted_to() -> None:
    network = build_network(small_config()).eval()
    rng = np.random.default_rng(0)
    smooth = np.stack([PROCEDURAL["gradient"](rng, 64) for _ in range(120)])
    fit_one_class(network, smooth[:80], smooth[80:])
    noise = torch.from_numpy(rng.random((20, 1, 64, 64), dtype=np.float32))
    with torch.inference_mode():
        near = network.distance(network.features(torch.from_numpy(smooth[80:, None]) / 255.0))
        far = network.distance(network.features(noise))
    assert far.median() > 2 * near.median()


def test_a_share_has_an_interval_even_when_nothing_was_refused() -> None:
    groups = [f"p{i // 2}" for i in range(200)]
    none = share(np.zeros(200, bool), groups, seed=0)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1.96**2 / (100 + 1.96**2))
    some = share(np.arange(200) % 10 == 0, groups, seed=0)
    assert some.value == pytest.approx(0.1)
    assert some.low < some.value < some.high


def test_no_patient_stands_in_two_parts(tmp_path: Path) -> None:
    write_data(tmp_path, 60)
    data = read_gate_data(tmp_path, calibration_percent=30)
    parts = [
        {image.patient for image in part} for part in (data.fit, data.calibration, data.validation)
    ]
    assert all(parts)
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 60


def test_a_misspelt_recipe_is_an_error(tmp_path: Path) -> None:
    recipe = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "gate.yaml").write_text(yaml.safe_dump({**recipe, "stepz": 3}))
    with pytest.raises(ValueError, match="stepz"):
        read_config(tmp_path / "gate.yaml")


def test_data_that_is_not_there_ends_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["train", "--config", str(CONFIG), "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    )
    assert status == 1
    assert "no Data_Entry_2017*.csv" in capsys.readouterr().err


def test_train_publish_and_evaluate_run_end_to_end_on_generated_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path / "nih", 40)
    config = tmp_path / "gate.yaml"
    config.write_text(yaml.safe_dump(small_config().model_dump(mode="json")))
    run, model, results = tmp_path / "run", tmp_path / "gate", tmp_path / "results"
    assert main(["train", "--config", str(config), "--data", str(tmp_path), "--out", str(run)]) == 0
    assert {path.name for path in run.iterdir()} == {
        *("metrics.jsonl", "curve.png", "run.json", "weights.safetensors")
    }
    assert main(["publish", "--run", str(run), "--out", str(model), "--version", "0.0.1"]) == 0
    command = ["evaluate", "--model", str(model), "--data", str(tmp_path), "--out", str(results)]
    assert main([*command, "--drawn-per-kind", "2"]) == 0

    gate = load_ood_detector(model)
    assert gate.manifest.extra["kinds"] == list(KINDS)
    assert gate.manifest.data.n_validation > 0
    rows = list(csv.DictReader((results / "gate.csv").read_text().splitlines()))
    kinds = {(row["source"], row["kind"]) for row in rows}
    assert {("radiograph", "as published"), ("real medical", "leg radiograph")} <= kinds
    assert all(0 <= float(row["refused_low"]) <= float(row["refused"]) for row in rows)
    assert (results / "gate.png").stat().st_size > 10_000
    measured = json.loads((model / "manifest.json").read_text())["metrics"]
    assert {row["name"] for row in measured} == {"false_refusal_rate", "auroc", "refused_share"}
    assert "| as published |" in (model / "MODEL_CARD.md").read_text()

    page = (results / "README.md").read_text()
    assert "| as published |" in page
    published = (model / "manifest.json").read_bytes()
    assert main([*command, "--drawn-per-kind", "2", "--check"]) == 0
    assert (model / "manifest.json").read_bytes() == published
    untrue = json.loads(published)
    untrue["metrics"][0]["result"]["high"] = 0.99
    (model / "manifest.json").write_text(json.dumps(untrue))
    assert main([*command, "--drawn-per-kind", "2", "--check"]) == 1
    assert "published" in capsys.readouterr().err
