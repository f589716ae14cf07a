"""`time` and `--smoke`: what a run will take, before it is begun."""

from pathlib import Path

import pytest
from PIL import Image

from cxr_training.classifier.__main__ import main
from cxr_training.classifier.curves import draw_curves
from cxr_training.classifier.timing import Timing
from cxr_training.core.runs import append_metrics
from quick_training import quick_arguments, quick_config
from synthetic_nih import write_nih


def timing(*overrides: str) -> Timing:
    return Timing(
        speed={"images_per_s": 50.0, "data_wait_share": 0.25},
        validation_images_per_s=100.0,
        warm_up_s=30.0,
        n_train=1010,
        n_validation=500,
        steps_per_epoch=10,
        config=quick_config("training.batch_size=100", "training.epochs=6", *overrides),
    )


def test_the_length_of_a_run_follows_from_its_epochs() -> None:
    # 10 batches of 100 at 50 images/s, then 500 at 100 images/s.
    assert timing().epoch_s == pytest.approx(25.0)
    assert timing().run_s == pytest.approx(30 + 6 * 25)
    assert "the run of at most 6 epochs: 3.0 min" in timing().lines()
    assert "25% of the time waiting for data" in timing().lines()[0]


def test_a_time_limit_ends_the_prediction_where_it_ends_the_run() -> None:
    limited = timing("training.max_minutes=1.75")
    assert limited.run_s == 105
    assert limited.lines()[-1] == "training.max_minutes=1.75 ends it in epoch 3.0"


def test_the_command_measures_a_few_steps_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nih(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = ["--data", str(tmp_path), "--steps", "2"]
    assert main(["time", *quick_arguments(), *data]) == 0
    [training, validation, epoch, run] = capsys.readouterr().out.splitlines()
    assert float(training.split()[1]) > 0
    assert float(validation.split()[1]) > 0
    assert "images, with validation on" in epoch
    assert run.startswith("the run of at most 2 epochs: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_command_for_one_process_is_refused_under_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["evaluate", "--data", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "`evaluate` runs in one process" in capsys.readouterr().err


def test_curves_are_drawn_from_runs_of_the_first_version_and_with_gaps(tmp_path: Path) -> None:
    for epoch, area in ((1, None), (2, 0.6)):
        row = {"epoch": epoch, "train_loss": 0.2, "val_loss": 0.2, "learning_rate": 1e-3}
        areas = {"val_auroc": {"Mass": area}, "val_auroc_within_source": {"Pneumonia": area}}
        append_metrics(tmp_path / "metrics.jsonl", row | areas | {"val_auroc_mean": 0.6})
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 840)
    assert not (tmp_path / "curves.partial").exists()
