"""The detector's training: corruptions are what they claim to be, the commands run end to end."""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn.functional import interpolate

from cxr_gateway.ood import load_ood_detector
from cxr_training.core.config import read_config
from cxr_training.core.errors import ConfigError
from cxr_training.data.errors import DataError
from cxr_training.ood import corruptions
from cxr_training.ood.cli import add_to
from cxr_training.ood.data import (
    EVALUATION_PHOTOGRAPHS,
    MEDICAL_DICOM,
    TRAINING_PHOTOGRAPHS,
    read_ood_data,
)
from cxr_training.ood.evaluation import share
from cxr_training.ood.network import KINDS, OodConfig, OodNetwork
from cxr_training.ood.synthetic import TRAINED_KINDS, UNTRAINED_KINDS, phantom
from cxr_training.ood.training import fit_one_class

CONFIG = Path(__file__).parents[3] / "training/configs/ood.yaml"
SIDE_PX = 32


@pytest.fixture
def images() -> torch.Tensor:
    """Smooth images, so that a change of content shows."""
    torch.manual_seed(4)
    return interpolate(torch.rand(6, 1, 4, 4), (SIDE_PX, SIDE_PX), mode="bilinear")


def small_config() -> OodConfig:
    config = read_config(OodConfig, CONFIG)
    changes = {"steps": 12, "batch": 32, "n_procedural": 22, "n_photograph_crops": 14}
    return OodConfig.model_validate({**config.model_dump(), **changes, "calibration_percent": 40})


def write_data(root: Path, n_patients: int) -> None:
    """A data set in NIH's layout whose radiographs are synthetic."""
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


def ood(*arguments: object) -> int:
    """`cxr ood ...`; the exit status."""
    parser = argparse.ArgumentParser()
    add_to(parser.add_subparsers())
    options = parser.parse_args(["ood", *map(str, arguments)])
    status: int = options.run(options)
    return status


def test_reoriented_images_come_back_by_the_opposite_move(images: torch.Tensor) -> None:
    kinds = {kind: change(images) for kind, change in corruptions.REORIENTED.items()}
    assert list(kinds) == list(KINDS[:-1])
    assert torch.equal(torch.rot90(kinds["turned_left"], -1, (2, 3)), images)
    assert torch.equal(torch.rot90(kinds["turned_right"], 1, (2, 3)), images)
    assert torch.allclose(1 - kinds["inverted"], images)
    down = kinds["upside_down"].flip(2)
    assert torch.equal(down, images) or torch.equal(down.flip(3), images)


def test_shuffling_leaves_no_tile_in_its_place_and_loses_none() -> None:
    # Every pixel of a tile of 4 carries the tile's number, so at any tiling the places show.
    numbers = torch.arange(64.0).view(1, 1, 8, 8)
    image = numbers.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for _ in range(20):
        dealt = corruptions.shuffled(image)
        assert not (dealt == image).any()
        assert torch.equal(dealt.flatten().sort().values, image.flatten().sort().values)


@pytest.mark.parametrize("way", range(len(corruptions.destructive(SIDE_PX))))
def test_corrupted_images_keep_shape_and_range_but_not_their_content(
    way: int, images: torch.Tensor
) -> None:
    corrupt = corruptions.destructive(SIDE_PX)[way]
    corrupted = corrupt(images)
    assert corrupted.shape == images.shape
    assert corrupted.min() >= -1e-6
    assert corrupted.max() <= 1 + 1e-6
    assert (corrupted - images).abs().mean() > 0.02


def test_a_placement_keeps_a_radiograph_recognisable(images: torch.Tensor) -> None:
    place = corruptions.placement(SIDE_PX, 16)
    small = interpolate(images, (16, 16), mode="area")
    for _ in range(10):
        placed = place(images)
        assert placed.shape == small.shape
        likest = [
            max(
                float(torch.corrcoef(torch.stack([seen.flatten(), there.flatten()]))[0, 1])
                for there in (whole, whole.flip(2))
            )
            for seen, whole in zip(placed, small, strict=True)
        ]
        assert np.median(likest) > 0.5


def test_acquisition_stays_in_range_and_follows_its_seed(images: torch.Tensor) -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(corruptions.in_groups(corruptions.acquisition, images.repeat(6, 1, 1, 1)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert all(0 <= result.min() <= result.max() <= 1 for result in results)


def test_synthetic_kinds_differ_from_each_other_and_fit_their_frame() -> None:
    for kinds in (TRAINED_KINDS, UNTRAINED_KINDS):
        for name, draw in kinds.items():
            first, second = (draw(np.random.default_rng(seed), 100) for seed in (1, 2))
            assert first.dtype == np.uint8, name
            assert first.ndim == 2, name
            assert first.shape[1] == 100, name
            assert first.shape != second.shape or not np.array_equal(first, second), name


def test_no_file_and_no_kind_both_trains_and_evaluates() -> None:
    assert not set(TRAINING_PHOTOGRAPHS) & set(EVALUATION_PHOTOGRAPHS)
    assert not set(TRAINED_KINDS) & set(UNTRAINED_KINDS)
    names = [name for names in MEDICAL_DICOM.values() for name in names]
    assert len(names) == len(set(names))


def test_the_one_class_distance_grows_away_from_what_it_was_fitted_to() -> None:
    network = OodNetwork(small_config()).eval()
    rng = np.random.default_rng(0)
    smooth = np.stack([TRAINED_KINDS["gradient"](rng, 64) for _ in range(120)])
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
    data = read_ood_data(tmp_path, calibration_percent=30)
    parts = [
        {image.patient for image in part} for part in (data.fit, data.calibration, data.validation)
    ]
    assert all(parts)
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 60


def test_a_misspelt_recipe_is_an_error(tmp_path: Path) -> None:
    recipe = yaml.safe_load(CONFIG.read_text())
    (tmp_path / "ood.yaml").write_text(yaml.safe_dump({**recipe, "stepz": 3}))
    with pytest.raises(ConfigError, match="stepz"):
        read_config(OodConfig, tmp_path / "ood.yaml")


def test_training_refuses_data_that_is_not_there_and_the_test_set(tmp_path: Path) -> None:
    command = ["train", "--config", CONFIG, "--out", tmp_path / "run", "--data"]
    with pytest.raises(DataError, match=r"Data_Entry_2017\*"):
        ood(*command, tmp_path)
    write_data(tmp_path / "test" / "nih", 3)
    with pytest.raises(DataError, match="test set"):
        ood(*command, tmp_path / "test")


def test_train_publish_evaluate_and_verify_run_end_to_end_on_synthetic_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path / "nih", 40)
    write_data(tmp_path / "test" / "nih", 6)
    config = tmp_path / "ood.yaml"
    config.write_text(yaml.safe_dump(small_config().model_dump(mode="json")))
    run, model, results = tmp_path / "run", tmp_path / "model", tmp_path / "results"
    assert ood("train", "--config", config, "--data", tmp_path, "--out", run) == 0
    assert {path.name for path in run.iterdir()} == {
        *("metrics.jsonl", "curve.png", "run.json", "weights.safetensors")
    }
    assert ood("publish", "--run", run, "--out", model, "--version", "0.0.1") == 0
    options = ["--model", model, "--data", tmp_path, "--synthetic-per-kind", 1]
    for split in ("validation", "test"):
        assert ood("evaluate", *options, "--split", split, "--out", results) == 0

    detector = load_ood_detector(model)
    assert detector.manifest.extra["kinds"] == list(KINDS)
    assert detector.manifest.data.n_validation > 0
    rows = list(csv.DictReader((results / "ood-validation.csv").read_text().splitlines()))
    kinds = {(row["source"], row["kind"]) for row in rows}
    assert {("radiograph", "as published"), ("real medical", "leg radiograph")} <= kinds
    assert all(0 <= float(row["refused_low"]) <= float(row["refused"]) for row in rows)
    assert (results / "ood-test.png").stat().st_size > 10_000
    untrue = json.loads((model / "manifest.json").read_text())
    measured = untrue["metrics"]
    assert {row["split"] for row in measured} == {"validation", "test"}
    assert {row["name"] for row in measured} == {"false_refusal_rate", "auroc", "refused_share"}
    for page in (model / "MODEL_CARD.md", results / "README.md"):
        assert "| test patients | validation patients |" in page.read_text()
    assert "Most often missed (test patients)" in (model / "MODEL_CARD.md").read_text()

    # One figure is untrue, so one differs and all others are found again.
    of_validation = [row for row in untrue["metrics"] if row["split"] == "validation"]
    of_validation[0]["result"]["high"] = 0.99
    (model / "manifest.json").write_text(json.dumps(untrue))
    before = (model / "manifest.json").read_bytes()
    capsys.readouterr()
    assert ood("verify", *options) == 1
    assert "1 differ" in capsys.readouterr().out
    assert (model / "manifest.json").read_bytes() == before
