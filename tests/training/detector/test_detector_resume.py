"""A training that was killed goes on where it stood."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_training.cli import main
from cxr_training.core.checkpoints import read_checkpoint
from support.synthetic_radiographs import write_small_data

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[3] / "training" / "configs" / "detector" / "yolo26n-both.yaml"
EPOCHS = 3
PATIENCE_S = 600


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "train" / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def start_and_kill(arguments: list[str], state: Path) -> None:
    """Run the command in a process of its own and kill it after its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cxr_training", "detector", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE_S
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_run_goes_on_to_its_last_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_small_data(tmp_path / "data")
    out = tmp_path / "run"
    state = out / "train" / "state.pt"
    folders = ["--data", str(data.nih.parent), "--out", str(out)]
    changes = [f"epochs={EPOCHS}", "batch=8", "image_px=64", "threads=1", "pretraining=null"]
    changes += [
        "validate_every=2",
        "optimizer.warmup_epochs=0",
        "optimizer.learning_rate=0.01",
        "data.rare_share=0.1",
    ]
    recipe = ["--config", str(RECIPE), *(f"--set={change}" for change in changes)]
    start_and_kill(["train", *recipe, *folders], state)
    killed = read_checkpoint(state)["progress"]
    before = rows_of(out)
    assert killed["epochs"] < EPOCHS

    assert main(["detector", "train", "--resume", *folders]) == 0
    rows = rows_of(out)
    assert [int(row["epoch"]) for row in rows] == list(range(1, EPOCHS + 1))
    assert rows[: killed["epochs"]] == before[: killed["epochs"]]
    # Every second epoch is validated, and the last.
    assert [row["map50"] != "nan" for row in rows] == [False, True, True]
    assert float(rows[-1]["time"]) > killed["elapsed_s"]
    finished = read_checkpoint(state)["progress"]
    assert finished["steps"] == killed["steps"] / killed["epochs"] * EPOCHS
    # Random weights would begin again with the loss of the first epoch.
    assert float(rows[killed["epochs"]]["train/cls_loss"]) < 0.97 * float(rows[0]["train/cls_loss"])
    assert json.loads((out / "run.json").read_text())["resumed_after_epochs"] == [killed["epochs"]]

    assert main(["detector", "train", "--resume", *folders]) == 2
    assert f"has finished after {EPOCHS} epochs" in capsys.readouterr().err
